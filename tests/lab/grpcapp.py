"""A gRPC server with the standard health service; without generated code, since Debian 12 ships none for it."""
from concurrent import futures

import grpc

SERVING = b"\x08\x01"

check = grpc.unary_unary_rpc_method_handler(lambda request, context: SERVING)
server = grpc.server(futures.ThreadPoolExecutor(max_workers=4), options=(("grpc.so_reuseport", 0),))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": check}),))
if not server.add_insecure_port("0.0.0.0:9001"):
    raise SystemExit("port 9001 is taken")
server.start()
server.wait_for_termination()
