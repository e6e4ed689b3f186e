import platform

import pytest
import torch

from committee.training.fit.allocator import keep_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such settings")
def test_what_is_freed_is_not_fetched_again():
    resource = pytest.importorskip("resource")
    keep_freed_memory()
    faults = []
    for megabytes in (160, 64, 64, 64):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(megabytes << 20, dtype=torch.uint8)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    assert min(faults[1:]) < 64 * 256 / 10  # of 256 pages a megabyte
