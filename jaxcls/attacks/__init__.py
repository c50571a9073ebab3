"""Adversarial examples: small changes of an image that change its class."""

from jaxcls.attacks._boundary import carlini_wagner as carlini_wagner
from jaxcls.attacks._boundary import deepfool as deepfool
from jaxcls.attacks._gradient import fgsm as fgsm
from jaxcls.attacks._gradient import pgd as pgd
