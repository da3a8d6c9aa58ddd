"""Settings of every test process."""

import os

# Workers run side by side, and many tests start processes of their own: more threads than cores make torch crawl.
os.environ.setdefault("OMP_NUM_THREADS", "1")
