
import json
import sys

for line in sys.stdin:
    q = json.loads(line)
    verify = globals()["verify_" + q["scheme"]]
    genuine = verify(q["secret"], q["headers"], base64.b64decode(q["body"]))
    print("true" if genuine is True else "false", flush=True)
