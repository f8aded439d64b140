# SPDX-License-Identifier: MIT
"""The optimiser of stage C: Muon for the matrices, AdamW for the rest.

Muon (Keller Jordan and others, 2024, https://kellerjordan.github.io/posts/muon)
steps along the momentum with all its singular values made about one, so that
rare directions, such as what one caption asks for, are learnt as fast as common
ones. Convolution kernels count as matrices of one row per output channel. The
work is shared between the workers.
"""
import torch
import torch.distributed as dist

MATRIX_RATE = 20.               # Muon's rate as a multiple of AdamW's
COEFFICIENTS = 3.4445, -4.7750, 2.0315


def orthogonal(g, rounds=5):
    """Five Newton-Schulz rounds, on the smaller Gram matrix: x p(x'x)."""
    x = g.T if g.shape[0] > g.shape[1] else g
    x = x / (x.norm() + 1e-7)
    a, b, c = COEFFICIENTS
    eye = torch.eye(len(x), device=x.device)
    gram, total = x @ x.T, None
    for _ in range(rounds):
        p = a * eye + b * gram + c * (gram @ gram)
        total = p if total is None else p @ total
        gram = p @ gram @ p
    x = total @ x
    return x.T if g.shape[0] > g.shape[1] else x


class Optimiser:
    def __init__(self, named, fused):
        """named: [(name, parameter)] with gradients that stay in place."""
        self.matrices = [p for n, p in named if p.ndim >= 2 and not any(
            x in n for x in ("embedding", "unet.out.", "unet.input_blocks.0."))]
        ids = {id(p) for p in self.matrices}
        self.rest = [p for _, p in named if id(p) not in ids]
        self.adam = torch.optim.AdamW(self.rest, lr=1e-3, betas=(.9, .99), weight_decay=.01, fused=fused)
        self.momentum = [torch.zeros_like(p) for p in self.matrices]
        self.update = self.rest[0].new_zeros(sum(p.numel() for p in self.matrices))
        self.workers = dist.get_world_size() if dist.is_initialized() else 1
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        self.owner, load = {}, [0.] * self.workers
        for i in sorted(range(len(self.matrices)), key=lambda i: -self.cost(i)):
            self.owner[i] = load.index(min(load))
            load[self.owner[i]] += self.cost(i)

    def cost(self, i):
        p = self.matrices[i]
        small, large = sorted((len(p), p[0].numel()))
        return 2 * small * small * large + 20 * small ** 3

    @torch.no_grad()
    def step(self, lr):
        torch.nn.utils.clip_grad_norm_(self.rest, 1.0)
        for group in self.adam.param_groups:
            group["lr"] = lr
        self.adam.step()
        torch._foreach_lerp_(self.momentum, [p.grad for p in self.matrices], .05)
        self.update.zero_()
        parts = self.update.split([p.numel() for p in self.matrices])
        for i, (p, m) in enumerate(zip(self.matrices, self.momentum)):
            if self.owner[i] == self.rank:
                x = orthogonal(p.grad.lerp(m, .95).reshape(len(p), -1))
                parts[i].copy_((x * max(1., x.shape[0] / x.shape[1]) ** .5).reshape(-1))
        if self.workers > 1:
            dist.all_reduce(self.update)
        rate = MATRIX_RATE * lr
        torch._foreach_mul_(self.matrices, 1 - .01 * rate)
        torch._foreach_add_(self.matrices, [u.view_as(p) for u, p in zip(parts, self.matrices)], alpha=-rate)

    def state(self):
        return dict(adam=self.adam.state_dict(), momentum=self.momentum)

    def restore(self, state):
        self.adam.load_state_dict(state["adam"])
        for m, x in zip(self.momentum, state["momentum"]):
            m.copy_(x)
