/* grpc_frame.c - grpc.health.v1.Health/Check in bytes: the 5-byte prefix of gRPC over HTTP/2 and two tiny protobuf messages.
 * Sources: grpc/doc/PROTOCOL-HTTP2.md, grpc/doc/health-checking.md, grpc/doc/statuscodes.md, protobuf's encoding page. Pure.
 */
#include "probes/grpc_frame.h"

enum { PREFIX = 5, WIRE_VARINT = 0, WIRE_I64 = 1, WIRE_LEN = 2, WIRE_I32 = 5 };

int grpc_health_request(const char *service, uint8_t *out, size_t cap)
{
	size_t n = strlen(service), body = n ? n + 2 : 0;

	if (n > 127 || cap < PREFIX + body) /* 127: the length stays one byte */
		return -1;
	out[0] = 0; /* not compressed */
	out[1] = out[2] = out[3] = 0;
	out[4] = (uint8_t)body;
	if (!n)
		return PREFIX;
	out[PREFIX] = 1 << 3 | WIRE_LEN;
	out[PREFIX + 1] = (uint8_t)n;
	memcpy(out + PREFIX + 2, service, n);
	return (int)(PREFIX + body);
}

struct bytes {
	const uint8_t *at, *end;
};

static bool take_varint(struct bytes *b, uint64_t *out)
{
	uint64_t v = 0;

	for (int shift = 0; shift < 64 && b->at < b->end; shift += 7) {
		uint8_t byte = *b->at++;

		v |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*out = v;
			return true;
		}
	}
	return false;
}

static bool skip(struct bytes *b, uint64_t n)
{
	if (n > (uint64_t)(b->end - b->at))
		return false;
	b->at += n;
	return true;
}

static bool skip_value(struct bytes *b, unsigned wire)
{
	uint64_t n;

	switch (wire) {
	case WIRE_VARINT:
		return take_varint(b, &n);
	case WIRE_I64:
		return skip(b, 8);
	case WIRE_LEN:
		return take_varint(b, &n) && skip(b, n);
	case WIRE_I32:
		return skip(b, 4);
	default:
		return false;
	}
}

/* A field left out is 0 = UNKNOWN, the last of several counts, unknown fields are skipped: protobuf's own rules. */
static bool take_status(struct bytes b, int64_t *out)
{
	uint64_t status = 0, tag;

	while (b.at < b.end) {
		if (!take_varint(&b, &tag) || tag >> 3 == 0)
			return false;
		if (tag == (1 << 3 | WIRE_VARINT) ? !take_varint(&b, &status) : !skip_value(&b, tag & 7))
			return false;
	}
	*out = status > INT32_MAX ? INT32_MAX : (int64_t)status;
	return true;
}

int64_t grpc_health_status(const uint8_t *body, size_t len, struct err *e)
{
	int64_t status;

	if (len < PREFIX)
		return err_set(e, "the answer has %zu bytes, no gRPC frame", len);
	if (body[0] != 0)
		return err_set(e, "the answer is compressed, though we offered no compression");
	uint32_t said = (uint32_t)body[1] << 24 | (uint32_t)body[2] << 16 | (uint32_t)body[3] << 8 | body[4];
	if (said != len - PREFIX)
		return err_set(e, "the frame says %u bytes and has %zu", said, len - PREFIX);
	if (!take_status((struct bytes){ body + PREFIX, body + len }, &status))
		return err_set(e, "the answer is no HealthCheckResponse");
	return status;
}

int grpc_health_parse(const uint8_t *body, size_t len, struct err *e)
{
	int64_t status = grpc_health_status(body, len, e);

	if (status < 0)
		return -1;
	if (status != GRPC_HEALTH_SERVING)
		return err_set(e, "%s", grpc_health_name(status));
	return 0;
}

const char *grpc_health_name(int64_t status)
{
	static const char *const name[] = { "UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN" };

	return status >= 0 && status < (int64_t)ARRAY_LEN(name) ? name[status] : "an unknown serving status";
}

const char *grpc_code_name(long code)
{
	static const char *const name[] = { "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED",
		"NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
		"ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED" };

	return code >= 0 && code < (long)ARRAY_LEN(name) ? name[code] : "an unknown gRPC status";
}
