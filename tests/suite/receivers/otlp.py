"""An OTLP/HTTP receiver on the official protocol package. Says its port on the first line, then one JSON line for each request
that it has taken. `otlp.py 503 503` answers with these statuses first."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces

SERVICES = {
    "/v1/traces": (traces.ExportTraceServiceRequest, traces.ExportTraceServiceResponse),
    "/v1/metrics": (metrics.ExportMetricsServiceRequest, metrics.ExportMetricsServiceResponse),
}
refusals = [int(status) for status in sys.argv[1:]]


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        request, response = SERVICES[self.path]
        assert self.headers["content-type"] == "application/x-protobuf", self.headers["content-type"]
        message = request.FromString(body)
        status = refusals.pop(0) if refusals else 200
        answer = response().SerializeToString()
        self.send_response(status)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        headers = {name.lower(): value for name, value in self.headers.items()}
        line = {"path": self.path, "status": status, "headers": headers, "body": MessageToDict(message)}
        print(json.dumps(line), flush=True)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_port, flush=True)
server.serve_forever()
