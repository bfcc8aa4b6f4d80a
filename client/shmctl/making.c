/* making.c -- the options of the verbs that make a segment. */
#include "client/shmctl/making.h"

#include <string.h>

#include "client/shmctl/parse.h"
#include "client/shmctl/report.h"

static int parse_policy(uint32_t *out, const struct verb *verb, const char *text) {
        if (!strcmp(text, "overwrite"))
                *out = SHMD_OVERWRITE;
        else if (!strcmp(text, "block"))
                *out = SHMD_BLOCK;
        else
                return report_usage(verb, "--policy %s is not a policy: it takes overwrite or block", text);
        return STATUS_OK;
}

int making_option(struct shmd_options *options, const struct verb *verb, int option) {
        uint64_t n;

        switch (option) {
        case MAKING_SLOTS:
                if (parse_number(&n, verb, "--slots", optarg, 1, SHMD_SLOTS_MAX))
                        return STATUS_USAGE;
                options->n_slots = (uint32_t)n;
                return STATUS_OK;
        case MAKING_MODE:
                return parse_mode(&options->mode, verb, "--mode", optarg, 1);
        case MAKING_TYPE:
                if (strlen(optarg) > SHMD_TYPE_MAX)
                        return report_usage(verb, "--type has %zu bytes: it takes %d at most", strlen(optarg),
                                            SHMD_TYPE_MAX);
                options->type = optarg;
                return STATUS_OK;
        case MAKING_POLICY:
                return parse_policy(&options->policy, verb, optarg);
        case MAKING_FOREIGN_HOLDS:
                if (parse_number(&n, verb, "--foreign-holds", optarg, 0, SHMD_FOREIGN_HOLDS_MAX))
                        return STATUS_USAGE;
                options->foreign_holds = n ? (uint32_t)n : SHMD_NO_FOREIGN_HOLDS;
                return STATUS_OK;
        case MAKING_EPHEMERAL:
                options->flags |= SHMD_EPHEMERAL;
                return STATUS_OK;
        case MAKING_SPARSE:
                options->flags |= SHMD_SPARSE;
                return STATUS_OK;
        default: /* MAKING_HUGE */
                options->flags |= SHMD_HUGE;
                return STATUS_OK;
        }
}
