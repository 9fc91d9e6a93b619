"""Exit 0 if the service in this container answers 200 at port and path: for HEALTHCHECK, without curl."""

import http.client
import sys

connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=3)
connection.request("GET", sys.argv[2])
sys.exit(0 if connection.getresponse().status == http.client.OK else 1)
