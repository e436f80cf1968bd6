# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes tests/golden/nn/modules.safetensors: what PyTorch's modules give, and their
gradients.

    python3 tests/golden/make_modules.py          (needs torch, safetensors)

Module NAME of tests/nn/test_modules.c: NAME.* is its state_dict, in.NAME.0 ... what it is
given, out.NAME.0 ... what it gives, in f64, and grad.* the gradients of the state_dict and
of the inputs, of half the sum of squares of all that it gives.  Parameters and inputs are
multiples of 1/64, so that f32 holds them.
"""

import os

import torch
from torch import nn
from safetensors.torch import save_file

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "nn")
out = {}


def short(x):
    return torch.round(x * 64) / 64


def randn(*shape):
    return short(torch.randn(*shape))


def case(name, module, *inputs, call=None, train=False):
    """call(module, *inputs): a tensor, or tuples of them."""
    module = module.double().train(train)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(short(p + 0.25 * torch.randn_like(p)))
    for key, p in module.state_dict().items():
        out[name + "." + key] = p.clone().float() if p.is_floating_point() else p.clone()
    inputs = [x.clone().requires_grad_() if x.is_floating_point() else x for x in inputs]
    for i, x in enumerate(inputs):
        out["in.%s.%d" % (name, i)] = (
            x.detach().float() if x.is_floating_point() else x).contiguous()
    given = (call or (lambda m, *x: m(*x)))(module, *inputs)
    flat = []

    def flatten(y):
        if isinstance(y, torch.Tensor):
            flat.append(y)
        else:
            for z in y:
                flatten(z)

    flatten(given)
    sum((y**2).sum() / 2 for y in flat).backward()
    for i, y in enumerate(flat):
        out["out.%s.%d" % (name, i)] = y.detach().contiguous()
    for key, p in module.named_parameters():
        out["grad.%s.%s" % (name, key)] = p.grad.contiguous()
    for i, x in enumerate(inputs):
        if x.grad is not None:
            out["grad.in.%s.%d" % (name, i)] = x.grad.contiguous()
    for key, p in module.named_buffers():
        if train:
            out["out.%s.%s" % (name, key)] = p.detach().clone()


torch.set_default_dtype(torch.float64)
torch.manual_seed(7)

# ---- Recurrent layers -------------------------------------------------------

case("rnn", nn.RNN(3, 4), randn(5, 2, 3))
case("rnn_relu", nn.RNN(3, 4, nonlinearity="relu", bias=False, bidirectional=True),
     randn(4, 3, 3), randn(2, 3, 4))
case("lstm", nn.LSTM(3, 5, num_layers=2, bidirectional=True), randn(4, 2, 3),
     randn(4, 2, 5), randn(4, 2, 5), call=lambda m, x, h, c: m(x, (h, c)))
case("lstm_first", nn.LSTM(4, 3, batch_first=True), randn(2, 6, 4))
case("lstm_alone", nn.LSTM(3, 4, bias=False), randn(5, 3), randn(1, 4), randn(1, 4),
     call=lambda m, x, h, c: m(x, (h, c)))
case("lstm_proj", nn.LSTM(3, 5, num_layers=2, bidirectional=True, proj_size=2), randn(4, 2, 3),
     randn(4, 2, 2), randn(4, 2, 5), call=lambda m, x, h, c: m(x, (h, c)))
case("lstm_wide", nn.LSTM(5, 19, bidirectional=True), randn(3, 9, 5))
case("gru", nn.GRU(3, 5, num_layers=2, bidirectional=True), randn(4, 2, 3), randn(4, 2, 5))
case("gru_first", nn.GRU(4, 3, batch_first=True, bias=False), randn(2, 1, 4))
case("gru_wide", nn.GRU(3, 18), randn(4, 7, 3), randn(1, 7, 18))

save_file(out, os.path.join(HERE, "modules.safetensors"))
print(len(out), "tensors")
