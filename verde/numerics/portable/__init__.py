"""Why this package exists: exact/1 in torch's own operators, for tensors on any device, with the bits of the kernels.

Only operators with one right answer are used: integers, IEEE additions, products, quotients and conversions, doubles
that hold integers. ``verde.numerics.gpu`` replaces the slow ones by fused kernels where Triton is; callers never come
here themselves: the operators of ``verde.numerics`` send tensors that are not the host's (``place``).
"""
