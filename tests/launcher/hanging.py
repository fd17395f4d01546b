"""Skills whose import never ends."""

import sys
import threading

sys.stderr.write("the import hangs\n")
sys.stderr.flush()
threading.Event().wait()
