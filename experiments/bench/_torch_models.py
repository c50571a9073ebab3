"""The benchmark's networks in PyTorch, layer for layer like ours."""

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
  """Basic residual block with batch normalisation."""

  def __init__(self, d_in, width, stride):
    """Two 3x3 convolutions and a projection where the shape changes."""
    super().__init__()
    self.conv1 = nn.Conv2d(d_in, width, 3, stride, 1, bias=False)
    self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
    self.norm1, self.norm2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
    self.project = None
    if stride != 1 or d_in != width:
      conv = nn.Conv2d(d_in, width, 1, stride, bias=False)
      self.project = nn.Sequential(conv, nn.BatchNorm2d(width))

  def forward(self, x):
    """[b c h w] -> [b width h/stride w/stride]."""
    shortcut = x if self.project is None else self.project(x)
    x = F.relu(self.norm1(self.conv1(x)))
    return F.relu(self.norm2(self.conv2(x)) + shortcut)


class ResNet18(nn.Module):
  """ResNet-18 with the small-image stem."""

  def __init__(self, width, num_classes=10):
    """Stage i has width * 2**i channels."""
    super().__init__()
    layers, d_in = [nn.Conv2d(3, width, 3, 1, 1, bias=False)], width
    layers += [nn.BatchNorm2d(width), nn.ReLU()]
    for i in range(4):
      for j in range(2):
        stride = 2 if i and not j else 1
        layers.append(Block(d_in, width * 2**i, stride))
        d_in = width * 2**i
    self.body = nn.Sequential(*layers)
    self.head = nn.Linear(d_in, num_classes)

  def forward(self, x):
    """[b 3 h w] -> logits."""
    return self.head(self.body(x).mean((2, 3)))


class ViTBlock(nn.Module):
  """Pre-norm transformer block."""

  def __init__(self, width, heads):
    """Attention and a feed-forward layer of four times the width."""
    super().__init__()
    self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
    self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
    self.up, self.down = (
      nn.Linear(width, 4 * width),
      nn.Linear(4 * width, width),
    )
    self.heads = heads

  def forward(self, x):
    """[b n d] -> [b n d]."""
    b, n, d = x.shape
    qkv = self.qkv(self.norm1(x)).reshape(b, n, 3, self.heads, -1)
    y = F.scaled_dot_product_attention(*qkv.permute(2, 0, 3, 1, 4))
    x = x + self.out(y.transpose(1, 2).reshape(b, n, d))
    return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class ViT(nn.Module):
  """ViT with learned positions and mean pooling on 32x32 images."""

  def __init__(self, width, depth, heads, patch, num_classes=10):
    """Patches are embedded by a strided convolution."""
    super().__init__()
    self.stem = nn.Conv2d(3, width, patch, patch)
    shape = (1, (32 // patch) ** 2, width)
    self.positions = nn.Parameter(torch.randn(shape) * 0.02)
    self.blocks = nn.Sequential(*[ViTBlock(width, heads) for _ in range(depth)])
    self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, num_classes)

  def forward(self, x):
    """[b 3 32 32] -> logits."""
    x = self.stem(x).flatten(2).transpose(1, 2) + self.positions
    return self.head(self.norm(self.blocks(x)).mean(1))


def make_step(net, batch_size):
  """One training step as a function without arguments; channels last."""
  net = net.to(memory_format=torch.channels_last)
  optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
  images = torch.randn(batch_size, 3, 32, 32)
  images = images.to(memory_format=torch.channels_last)
  labels = torch.arange(batch_size) % 10

  def step():
    optimizer.zero_grad()
    F.cross_entropy(net(images), labels).backward()
    optimizer.step()

  step.num_parameters = sum(p.numel() for p in net.parameters())
  return step
