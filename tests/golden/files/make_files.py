# SPDX-License-Identifier: MIT
"""PyTorch checkpoints as torch.save writes them, a few hundred bytes to a few KB each.

    python make_files.py             needs torch 1.13, numpy and safetensors

flat.pkl and training.pkl are the pickles of the .pth and .ckpt of that name; they and small.safetensors start the fuzzers.

Tensor a of state() is 0, 1, 2, ...; the others are made from it, so that a test knows every value without a second file.
"""
import collections
import zipfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent


def state():
    a = torch.arange(24, dtype=torch.float32)
    return collections.OrderedDict([
        ('a', a.reshape(2, 3, 4)),
        ('a.view', a[4:10]),                           # shares the storage of a
        ('a.turned', a.reshape(2, 3, 4).permute(2, 0, 1)),  # strided
        ('a.same', a[7:8].expand(2, 3)),                # stride 0
        ('half', a[:5].half()),
        ('bfloat', a[:5].bfloat16()),
        ('double', a[:5].double()),
        ('long', a[:5].long()),
        ('int', a[:5].int()),
        ('short', a[:5].short()),
        ('char', a[:5].char()),
        ('byte', a[:5].byte()),
        ('bool', a[:5] > 2),
        ('number', torch.tensor(7.0)),
        ('empty', torch.zeros(0, 3)),
        ('parameter', torch.nn.Parameter(a[:2].clone())),
    ])


def training():
    """What a trainer saves whole: the state dict among counters, settings and numpy scalars."""
    return {
        'epoch': 3,
        'global_step': 2**40,
        'pytorch-lightning_version': '1.4.2',
        'lr': [1e-4, -0.5, None, True, (), {'betas': (0.9, 0.999)}],
        'set': {1, 2},
        'best': np.float64(0.25),
        'counter': collections.Counter([1, 1]),
        'state_dict': state(),
    }


class Evil:
    def __reduce__(self):
        import os
        return os.system, ('true',)


torch.save(state(), HERE / 'flat.pth')
torch.save(state(), HERE / 'flat-old.pth', _use_new_zipfile_serialization=False)
torch.save(training(), HERE / 'training.ckpt')
torch.save(training(), HERE / 'training-old.ckpt', _use_new_zipfile_serialization=False)
torch.save(state(), HERE / 'protocol4.pth', pickle_protocol=4)
torch.save({'weights': state(), 'run': Evil()}, HERE / 'evil.ckpt')
torch.save(torch.nn.Linear(2, 2), HERE / 'module.pth')
torch.save([1, 2], HERE / 'list.pth')
torch.save({'epoch': 1}, HERE / 'no-tensors.pth')
torch.save({'fixed_noise': torch.zeros(2, 3), 'G': {'main.0.weight': torch.ones(4)}}, HERE / 'beside.pth')

# The same file, packed: not how torch writes it, but what becomes of it when somebody zips it again.
with zipfile.ZipFile(HERE / 'flat.pth') as source, zipfile.ZipFile(HERE / 'packed.pth', 'w', zipfile.ZIP_DEFLATED) as out:
    for entry in source.infolist():
        out.writestr(zipfile.ZipInfo(entry.filename), source.read(entry), zipfile.ZIP_DEFLATED)

for name in ('flat.pth', 'training.ckpt'):
    with zipfile.ZipFile(HERE / name) as source:
        (HERE / name).with_suffix('.pkl').write_bytes(source.read(name.split('.')[0] + '/data.pkl'))
save_file({'a': torch.arange(6.0).reshape(2, 3), 'half': torch.ones(2).half(), 'none': torch.zeros(0, 2)},
          HERE / 'small.safetensors', metadata={'format': 'pt', 'note': '가'})
