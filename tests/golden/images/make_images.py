# SPDX-License-Identifier: MIT
"""Small pictures of every kind that limn reads, and what Pillow makes of them.

    python make_images.py            needs Pillow 9.4, numpy and safetensors

Writes the files NAME.png and NAME.jpg, NAME.exif (what is inside a JPEG, to start a fuzzer), and images.safetensors with
    NAME                    the pixels that Pillow reads, [height, width, channels] u8, turned upright
    resize.FILTER.WxH       photo, resized by Pillow
    resize-grey.FILTER.WxH  its luma, resized by Pillow
    blur.SIGMA              mask, blurred with an exact Gaussian (edges repeated; Pillow's own is an approximation)
    flat, luma              alpha laid on white; luma of photo
"""
import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin
from safetensors.numpy import save_file

HERE = Path(__file__).parent
OUT = {}
W, H = 19, 13


def photo(width=W, height=H):
    """Smooth colours, a hard edge and some texture."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    r = 127 + 120 * np.sin(x / 3 + y / 7)
    g = 255 * x / (width - 1)
    b = np.where(x + y > (width + height) / 2, 230, 20) + 10 * np.cos(x * y)
    return np.clip(np.stack([r, g, b], -1), 0, 255).astype(np.uint8)


def alpha():
    y, x = np.mgrid[0:H, 0:W]
    return np.clip((x * 30 + y * 11) % 400 - 60, 0, 255).astype(np.uint8)


def record(name, path):
    image = ImageOps.exif_transpose(Image.open(path))
    if image.mode in ('P', '1', 'CMYK', 'I', 'I;16'):
        raise ValueError(name + ': give the pixels')
    pixels = np.asarray(image)
    OUT[name] = pixels.reshape(image.height, image.width, -1).copy()


def save(name, image, expected=None, **options):
    path = HERE / name
    image.save(path, **options)
    if expected is None:
        record(name, path)
    else:
        OUT[name] = np.ascontiguousarray(expected.reshape(image.height, image.width, -1))


def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def write_png(name, pixels, depth, colour, interlaced=False, extra=b'', expected=None):
    """A PNG with what Pillow cannot write: 16-bit colour, interlacing, grey with alpha in 16 bits."""
    height, width = pixels.shape[:2]
    kind = '>u2' if depth == 16 else 'u1'

    def rows(part):
        return b''.join(b'\0' + part[y].astype(kind).tobytes() for y in range(part.shape[0]))

    if interlaced:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
        data = b''.join(rows(pixels[y::dy, x::dx]) for x, y, dx, dy in passes
                        if pixels[y::dy, x::dx].size)
    else:
        data = rows(pixels)
    header = struct.pack('>IIBBBBB', width, height, depth, colour, 0, 0, int(interlaced))
    (HERE / name).write_bytes(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + extra +
                              chunk(b'IDAT', zlib.compress(data, 9)) + chunk(b'IEND', b''))
    OUT[name] = np.ascontiguousarray(expected if expected is not None else pixels).astype(np.uint8)


def pngs():
    rgb, a = photo(), alpha()
    grey = np.asarray(Image.fromarray(rgb).convert('L'))
    rgba = np.concatenate([rgb, a[..., None]], -1)
    save('rgb.png', Image.fromarray(rgb))
    save('rgba.png', Image.fromarray(rgba))
    save('grey.png', Image.fromarray(grey))
    save('grey-alpha.png', Image.merge('LA', (Image.fromarray(grey), Image.fromarray(a))))
    palette = Image.fromarray(rgb).quantize(13)
    save('palette.png', palette, np.asarray(palette.convert('RGB')))
    save('palette-clear.png', palette, np.asarray(Image.open(io.BytesIO(_png(palette, transparency=3))).convert('RGBA')),
         transparency=3)
    bits = Image.fromarray(grey).convert('1')
    save('bits.png', bits, np.asarray(bits.convert('L')))
    wide = grey.astype(np.uint16) * 257 // 2 + 40
    rounded = (wide.astype(np.uint32) * 255 + 32895) >> 16
    write_png('grey16.png', wide[..., None], 16, 0, expected=rounded[..., None])
    wide = rgb.astype(np.uint16) * 256 + 77
    rounded = (wide.astype(np.uint32) * 255 + 32895) >> 16
    write_png('rgb16.png', wide, 16, 2, expected=rounded)
    write_png('interlaced.png', rgb, 8, 2, interlaced=True)
    write_png('interlaced-rgba.png', rgba, 8, 6, interlaced=True)
    turned = Image.Exif()
    turned[0x0112] = 6
    save('turned.png', Image.fromarray(rgb), exif=turned)


def _png(image, **options):
    out = io.BytesIO()
    image.save(out, 'PNG', **options)
    return out.getvalue()


def texts():
    image = Image.fromarray(photo()[:2, :3].copy())
    for name, keyword, text, compressed in [
            ('text-latin1.png', 'parameters', 'a café\nSteps: 20', False),
            ('text-utf8.png', 'parameters', '빨간 사과 😀\nSteps: 20', False),
            ('text-ztxt.png', 'parameters', 'a café ' * 30, True),
    ]:
        info = PngImagePlugin.PngInfo()
        info.add_text(keyword, text, zip=compressed)
        save(name, image, pnginfo=info)
    info = PngImagePlugin.PngInfo()
    info.add_itxt('parameters', '사과 ' * 30, zip=True)
    info.add_itxt('XML:com.adobe.xmp', '<x:xmpmeta xmlns:x="adobe:ns:meta/"/>')
    info.add_text('Software', 'something else')
    save('text-itxt.png', image, pnginfo=info)


def tiff(order, folder):
    """EXIF with a user comment, in either byte order."""
    e = '>' if order == b'MM' else '<'
    data = order + struct.pack(e + 'HI', 42, 8)
    data += struct.pack(e + 'HHHII', 1, 0x8769, 4, 1, 26) + struct.pack(e + 'I', 0)
    data += struct.pack(e + 'HHHII', 1, 0x9286, 7, len(folder), 44) + struct.pack(e + 'I', 0)
    return b'Exif\0\0' + data + folder


def exifs():
    for order, charset in (b'MM', 'utf-16-be'), (b'II', 'utf-16-le'):
        data = tiff(order, b'UNICODE\0' + 'Steps: 20, 사과'.encode(charset))
        (HERE / f'comment-{order.decode().lower()}.exif').write_bytes(data[6:])


def jpegs():
    rgb = photo(40, 26)
    image = Image.fromarray(rgb)
    save('rgb444.jpg', image, quality=90, subsampling=0)
    save('rgb420.jpg', image, quality=90, subsampling=2)
    save('progressive.jpg', image, quality=85, progressive=True)
    save('grey.jpg', image.convert('L'), quality=90)
    cmyk = image.convert('CMYK')
    path = HERE / 'cmyk.jpg'
    cmyk.save(path, quality=95)
    read = np.asarray(Image.open(path)).astype(int)
    rgb_of_cmyk = ((255 - read[..., :3]) * (255 - read[..., 3:]) + 127) // 255
    OUT['cmyk.jpg'] = rgb_of_cmyk.astype(np.uint8)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        save(f'turned{orientation}.jpg', Image.fromarray(photo()), exif=exif, quality=95, subsampling=0)
    small = Image.fromarray(photo()[:8, :8].copy())
    text = '빨간 사과 😀, a café\nSteps: 20, Sampler: Euler a'
    save('comment-be.jpg', small, exif=tiff(b'MM', b'UNICODE\0' + text.encode('utf-16-be')))
    save('comment-le.jpg', small, exif=tiff(b'II', b'UNICODE\0' + text.encode('utf-16-le')))
    save('comment-mixed.jpg', small, exif=tiff(b'II', b'UNICODE\0' + text.encode('utf-16-be')))
    save('comment-ascii.jpg', small, exif=tiff(b'II', b'ASCII\0\0\0plain\nSteps: 20'))


def operations():
    rgb = photo(37, 23)
    OUT['photo'] = rgb
    image = Image.fromarray(rgb)
    grey = image.convert('L')
    OUT['luma'] = np.asarray(grey)[..., None].copy()
    filters = {'bilinear': Image.BILINEAR, 'bicubic': Image.BICUBIC, 'lanczos': Image.LANCZOS}
    for name, kind in filters.items():
        for size in [(16, 16), (37, 10), (61, 40), (5, 3), (1, 1)]:
            key = f'{name}.{size[0]}x{size[1]}'
            OUT['resize.' + key] = np.asarray(image.resize(size, kind)).copy()
            OUT['resize-grey.' + key] = np.asarray(grey.resize(size, kind))[..., None].copy()
    rgba = Image.open(HERE / 'rgba.png')
    white = Image.new('RGBA', rgba.size, 'white')
    OUT['flat'] = np.asarray(Image.alpha_composite(white, rgba).convert('RGB')).copy()
    mask = np.zeros((40, 50), np.uint8)
    mask[10:25, 15:40] = 255
    mask[0:4, 0:4] = 200
    mask[30, 30] = 255
    OUT['mask'] = mask[..., None]
    for sigma in [0.5, 1.5, 4, 9]:
        reach = int(np.ceil(4 * sigma))
        kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        kernel /= kernel.sum()
        blurred = mask.astype(float)
        for axis in (1, 0):
            padded = np.pad(blurred, [(reach, reach) if axis == i else (0, 0) for i in (0, 1)], mode='edge')
            blurred = np.apply_along_axis(lambda v: np.convolve(v, kernel, 'valid'), axis, padded)
        OUT[f'blur.{sigma:g}'] = np.floor(blurred + 0.5).astype(np.uint8)[..., None]


pngs()
texts()
jpegs()
exifs()
operations()
save_file({k: np.ascontiguousarray(v, dtype=np.uint8) for k, v in OUT.items()}, HERE / 'images.safetensors')
