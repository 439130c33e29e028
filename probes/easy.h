/* easy.h - a libcurl handle as every probe over it wants it: reused, but with a fresh connection each time. */
#ifndef PROBES_EASY_H
#define PROBES_EASY_H

#include "probes/run.h"

#include <curl/curl.h>

struct easy {
	CURL *curl;
	struct curl_slist *connect_to, *headers; /* headers: the kind appends and sets; freed here */
	bool flying;
	int fd; /* newest socket libcurl made for us, -1 none; only ever looked at, and only in flight */
	char error[CURL_ERROR_SIZE]; /* libcurl's sentence about the last failure */
};

/* scheme: "http" or "https". path begins with '/'. Host header, address and TLS come from the run's spec. */
int easy_open(struct easy *e, const struct run *r, const char *scheme, const char *path, struct err *err);
void easy_fly(struct easy *e, struct run *r, web_fn *fn); /* settles the run when it cannot start */
void easy_stop(struct easy *e, struct run *r);
void easy_close(struct easy *e);
/* Settles the run with the layer and sentence of a failed transfer. */
void easy_fault(struct easy *e, struct run *r, int curlcode);
const char *easy_awaits(const struct easy *e, const struct run *r);

#endif
