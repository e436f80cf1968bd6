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
    sum((y.double() ** 2).sum() / 2 for y in flat).backward()
    for i, y in enumerate(flat):
        out["out.%s.%d" % (name, i)] = y.detach().contiguous()
    for key, p in module.named_parameters():
        out["grad.%s.%s" % (name, key)] = p.grad.contiguous()
    for i, x in enumerate(inputs):
        if x.grad is not None:
            out["grad.in.%s.%d" % (name, i)] = x.grad.contiguous()


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

# ---- Layers -----------------------------------------------------------------

case("embedding", nn.Embedding(7, 3, padding_idx=2), torch.tensor([[1, 2, 6], [2, 0, 1]]))
case("group_norm", nn.GroupNorm(3, 6), randn(2, 6, 4))
case("instance_norm", nn.InstanceNorm1d(3, affine=True), randn(2, 3, 5))
case("batch_norm", nn.BatchNorm1d(3), randn(6, 3), train=True,
     call=lambda m, x: (m(x), m.running_mean, m.running_var, m.num_batches_tracked))
still = nn.BatchNorm2d(4, eps=0.01)
still.running_mean, still.running_var = randn(4), randn(4).abs() + 0.5
case("batch_norm_still", still, randn(2, 4, 3, 2))
case("conv1d", nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2), randn(2, 4, 7))
case("conv2d", nn.Conv2d(3, 4, (3, 2), padding="same", bias=False), randn(2, 3, 5, 4))
case("conv3d", nn.Conv3d(2, 3, 2, dilation=(1, 2, 1)), randn(1, 2, 3, 4, 3))
case("conv_transpose2d", nn.ConvTranspose2d(4, 2, 3, stride=2, output_padding=1, groups=2),
     randn(2, 4, 3, 2))
case("sequential", nn.Sequential(nn.Conv1d(2, 3, 3), nn.ReLU(), nn.Linear(5, 4),
                                 nn.LayerNorm(4), nn.Tanh(), nn.Dropout(0.5), nn.Linear(4, 2)),
     randn(2, 2, 7))

# ---- Transformers -----------------------------------------------------------
# PyTorch's masks say what is not seen, those of wick what is.

seen = torch.tensor([[True, False, True, True], [True, True, True, True], [False, True, True, True],
                     [True, True, False, True]])
keys = torch.tensor([[True, True, True, False], [False, True, True, True]])
added = randn(4, 4)
causal = torch.full((4, 4), float("-inf")).triu(1)


def attention(**options):
    return nn.MultiheadAttention(6, 2, batch_first=True, **options)


case("multihead", attention(), randn(2, 4, 6), call=lambda m, x: m(x, x, x)[0])
case("multihead_masks", attention(bias=False), randn(2, 4, 6), seen, keys,
     call=lambda m, x, s, k: m(x, x, x, attn_mask=~s, key_padding_mask=~k)[0])
case("multihead_added", attention(), randn(2, 4, 6), added, keys,
     call=lambda m, x, a, k: m(x, x, x, attn_mask=a,
                               key_padding_mask=torch.where(k, 0.0, -torch.inf))[0])
case("multihead_cross", attention(), randn(2, 3, 6), randn(2, 5, 6),
     call=lambda m, q, k: m(q, k, k)[0])
case("multihead_three", attention(), randn(2, 3, 6), randn(2, 5, 6), randn(2, 5, 6),
     call=lambda m, *x: m(*x)[0])
case("encoder", nn.TransformerEncoderLayer(6, 2, 10, dropout=0.0, batch_first=True),
     randn(2, 4, 6), keys, call=lambda m, x, k: m(x, src_key_padding_mask=~k), train=True)
case("encoder_first", nn.TransformerEncoderLayer(6, 3, 8, dropout=0.0, activation="gelu",
                                                 batch_first=True, norm_first=True,
                                                 layer_norm_eps=0.01, bias=False),
     randn(2, 4, 6), call=lambda m, x: m(x, src_mask=causal), train=True)
case("decoder", nn.TransformerDecoderLayer(6, 2, 10, dropout=0.0, batch_first=True),
     randn(2, 4, 6), randn(2, 3, 6),
     call=lambda m, x, y: m(x, y, tgt_mask=causal), train=True)
case("decoder_first", nn.TransformerDecoderLayer(6, 2, 8, dropout=0.0, batch_first=True,
                                                 norm_first=True),
     randn(2, 3, 6), randn(2, 4, 6), keys,
     call=lambda m, x, y, k: m(x, y, memory_key_padding_mask=~k), train=True)

save_file({k: v.clone() for k, v in out.items()}, os.path.join(HERE, "modules.safetensors"))
print(len(out), "tensors")
