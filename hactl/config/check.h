/* check.h - finding a setting again, for the line of a mistake; shared by check.c and check_services.c. */
#ifndef HACTL_CONFIG_CHECK_H
#define HACTL_CONFIG_CHECK_H

#include "hactl/config/schema.h"

const config_setting_t *setting_at(
	const config_setting_t *root, const char *list, int i);			    /* NULL when it is not there */
const config_setting_t *setting_of(const config_setting_t *group, const char *key); /* NULL unless group has key */
bool lacks(
	const config_setting_t *group, const char *key); /* nor has it under a misspelt name, which was told already */
int line_of_key(const config_setting_t *group, const char *key); /* the group's own line when it lacks the key */

#endif
