"""The order of things: collect, learn, federate, evaluate, report; and the command line."""

import os

# One thread of linear algebra, set before NumPy loads: the matrices here are small, and the order
# of a sum, so the last bit of a result, must not depend on the machine's number of cores.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
