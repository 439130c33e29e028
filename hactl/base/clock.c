/* clock.c - moments and durations. */
#include "hactl/base/base.h"

#include <errno.h>
#include <math.h>
#include <time.h>

static us_t read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (us_t)ts.tv_sec * US_PER_SEC + ts.tv_nsec / 1000;
}

us_t now_us(void)
{
	return read_clock(CLOCK_BOOTTIME);
}

us_t wall_us(void)
{
	return read_clock(CLOCK_REALTIME);
}

void wall_text(us_t wall, char out[32])
{
	time_t s = (time_t)(wall / US_PER_SEC);
	struct tm tm;
	size_t n;

	gmtime_r(&s, &tm);
	n = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + n, 32 - n, ".%03dZ", (int)(wall / US_PER_MS % 1000));
}

static const struct {
	const char *name;
	us_t us;
} units[] = {
	{ "us", 1 },
	{ "ms", US_PER_MS },
	{ "s", US_PER_SEC },
	{ "m", 60 * US_PER_SEC },
	{ "h", 3600 * US_PER_SEC },
	{ "d", 86400 * US_PER_SEC },
};

int duration_parse(const char *text, us_t *out, struct err *e)
{
	static const us_t most = 366 * 86400 * US_PER_SEC;
	char *end;
	double v;

	/* strtod also reads "0x10", "inf", "nan" and leading blanks: none of them is a duration */
	if (text[0] < '0' || text[0] > '9' || text[1] == 'x' || text[1] == 'X')
		return err_set(e,
			"\"%s\" is not a duration; write a number and a unit, as in \"100ms\", \"2s\", \"5m\"", text);
	v = strtod(text, &end);
	if (!*end)
		return err_set(e, "\"%s\" has no unit; write \"%sms\" or \"%ss\"", text, text, text);
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (strcmp(end, units[i].name))
			continue;
		if (v * (double)units[i].us > (double)most)
			return err_set(e, "\"%s\" is longer than a year", text);
		*out = (us_t)llround(v * (double)units[i].us);
		return 0;
	}
	return err_set(e, "\"%s\" has the unknown unit \"%s\"; units are us, ms, s, m, h, d", text, end);
}

void duration_text(us_t us, char out[32])
{
	size_t i = ARRAY_LEN(units) - 1;

	if (us < 0) {
		snprintf(out, 32, "unknown");
		return;
	}
	if (us == 0) {
		snprintf(out, 32, "0s");
		return;
	}
	while (i > 0 && us % units[i].us)
		i--;
	snprintf(out, 32, "%lld%s", (long long)(us / units[i].us), units[i].name);
}
