"""Times optimiser steps of the embedded trainer's network in PyTorch.

The same layers, shapes, batch and optimiser; the loss is a random linear
functional of the output, cheaper than a detector's. Prints one JSON object.
"""
import json
import sys
import time

import torch
from torch import nn

batch, size, width, classes, steps, threads = map(int, sys.argv[1:7])
torch.set_num_threads(threads)
torch.manual_seed(0)


class ConvBN(nn.Module):
    def __init__(self, i, o, k, s):
        super().__init__()
        self.c = nn.Conv2d(i, o, k, s, (k - s + 1) // 2, bias=False)
        self.b = nn.BatchNorm2d(o, eps=1e-3)

    def forward(self, x):
        return nn.functional.silu(self.b(self.c(x)), inplace=True)


class Residual(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.a, self.b = ConvBN(c, c // 2, 1, 1), ConvBN(c // 2, c, 3, 1)

    def forward(self, x):
        return x + self.b(self.a(x))


class Net(nn.Module):
    def __init__(self, w, out):
        super().__init__()
        n = 4 * w
        self.p3 = nn.Sequential(ConvBN(3, 2 * w, 6, 4), Residual(2 * w), ConvBN(2 * w, 3 * w, 3, 2), Residual(3 * w))
        self.p4 = nn.Sequential(ConvBN(3 * w, 5 * w, 3, 2), Residual(5 * w), Residual(5 * w))
        self.p5 = nn.Sequential(ConvBN(5 * w, 8 * w, 3, 2), Residual(8 * w), Residual(8 * w))
        self.l = nn.ModuleList([ConvBN(c * w, n, 1, 1) for c in (3, 5, 8)])
        self.fuse = ConvBN(n, n, 3, 1)
        self.heads = nn.ModuleList([ConvBN(n, n, 3, 1) for _ in range(3)])
        self.outs = nn.ModuleList([nn.Conv2d(n, out, 1) for _ in range(3)])
        self.up = nn.Upsample(scale_factor=2)

    def forward(self, x):
        p3 = self.p3(x)
        p4 = self.p4(p3)
        n5 = self.l[2](self.p5(p4))
        n4 = self.fuse(self.up(n5) + self.l[1](p4))
        n3 = self.up(n4) + self.l[0](p3)
        maps = [o(n + h(n)).flatten(2) for n, h, o in zip((n3, n4, n5), self.heads, self.outs)]
        return torch.cat(maps, 2)


net = Net(width, 4 + classes)
optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3)
x = torch.rand(batch, 3, size, size)
functional = None
for step in range(steps + steps // 2):
    if step == steps // 2:  # warm from here on
        wall, cpu = time.perf_counter(), time.process_time()
    optimiser.zero_grad()
    y = net(x)
    if functional is None:
        functional = torch.randn_like(y) * 1e-3
    (y * functional).sum().backward()
    nn.utils.clip_grad_norm_(net.parameters(), 10)
    optimiser.step()
print(json.dumps({"ms": (time.perf_counter() - wall) / steps * 1e3, "cpu_ms": (time.process_time() - cpu) / steps * 1e3}))
