"""Sweeps: searches over runs."""

from farback.sweeps.certify import CertifyResult as CertifyResult
from farback.sweeps.certify import certify as certify
