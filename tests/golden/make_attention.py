# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes tests/golden/attention/attention.safetensors: what PyTorch's attention computes.

    python3 tests/golden/make_attention.py          (needs torch, safetensors)

For each case NAME: NAME.q NAME.k NAME.v, NAME.mask and NAME.slopes where it has them, the
result NAME.y of scaled_dot_product_attention in f64, and the gradients NAME.dq NAME.dk
NAME.dv of sum(y * NAME.dy).  Causal, window and slopes are one additive mask there; a soft
cap, which PyTorch's function does not know, is written out.
"""

import os

import torch
from safetensors.torch import save_file

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "attention")
CASES = {  # b h g t s d e, options
    "plain": ((2, 3, 3, 5, 7, 8, 8), {}),
    "causal": ((1, 4, 2, 9, 13, 17, 11), dict(causal=True)),
    "window": ((1, 2, 1, 20, 33, 12, 16), dict(causal=True, window=6)),
    "scale": ((1, 2, 2, 4, 19, 16, 5), dict(scale=0.7)),
    "bool_mask": ((2, 2, 2, 6, 18, 9, 8), dict(mask="bool")),
    "float_mask": ((2, 2, 1, 6, 18, 8, 8), dict(mask="float", causal=True)),
    "slopes": ((1, 4, 4, 11, 11, 8, 8), dict(slopes=True, causal=True)),
    "softcap": ((1, 2, 2, 7, 21, 8, 12), dict(softcap=2.0)),
    "all": (
        (2, 4, 2, 10, 25, 10, 7),
        dict(causal=True, window=9, scale=0.9, softcap=3.0, slopes=True, mask="float"),
    ),
}


def added(z, causal, window, slopes, mask):
    """What is added to the scores: [b, h, t, s]"""
    b, h, g, t, s, d, e = z
    i, j = torch.arange(s - t, s)[:, None], torch.arange(s)[None]
    bias = torch.zeros(b, h, t, s, dtype=torch.float64)
    if slopes is not None:
        bias += slopes.double()[None, :, None, None] * (j - i)
    if mask is not None and mask.dtype == torch.bool:
        bias = bias.masked_fill(~mask, float("-inf"))
    elif mask is not None:
        bias += mask.double()
    if causal:
        bias = bias.masked_fill(j > i, float("-inf"))
    if window:
        bias = bias.masked_fill(j <= i - window, float("-inf"))
    return bias


def attention(q, k, v, bias, scale, softcap):
    if not softcap:
        return torch.nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=bias, scale=scale, enable_gqa=True
        )
    share = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(share, 1), v.repeat_interleave(share, 1)
    scores = q @ k.mT * (scale or q.shape[-1] ** -0.5)
    return torch.softmax(softcap * torch.tanh(scores / softcap) + bias, -1) @ v


torch.manual_seed(9)
out = {}
for name, (z, o) in CASES.items():
    b, h, g, t, s, d, e = z
    case = dict(
        q=torch.randn(b, h, t, d),
        k=torch.randn(b, g, s, d),
        v=torch.randn(b, g, s, e),
        dy=torch.randn(b, h, t, e),
    )
    if o.get("mask") == "bool":
        case["mask"] = torch.rand(b, 1, t, s) < 0.7
        case["mask"][..., 0] = True
    elif o.get("mask"):
        case["mask"] = torch.randn(h, t, s)
    if o.get("slopes"):
        case["slopes"] = torch.rand(h)
    bias = added(z, o.get("causal"), o.get("window"), case.get("slopes"), case.get("mask"))
    q, k, v = (case[x].double().requires_grad_() for x in "qkv")
    y = attention(q, k, v, bias, o.get("scale"), o.get("softcap"))
    (y * case["dy"]).sum().backward()
    case.update(y=y.detach(), dq=q.grad, dk=k.grad, dv=v.grad)
    for key, x in case.items():
        out[name + "." + key] = (x if x.dtype == torch.bool else x.float()).contiguous()
os.makedirs(HERE, exist_ok=True)
save_file(out, os.path.join(HERE, "attention.safetensors"))
