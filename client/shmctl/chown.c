/* chown.c -- shmctl chown: whose segments are. */
#include <limits.h>
#include <string.h>

#include "client/shmctl/report.h"
#include "client/shmctl/verb.h"
#include "proto/account.h"

/* USER, USER:GROUP or :GROUP, as for chown(1) but that a colon needs a group. */
static int parse_owner(uint32_t *uid, uint32_t *gid, const struct verb *verb, char *text) {
        char *group = strchr(text, ':');

        *uid = SHMD_KEEP;
        *gid = SHMD_KEEP;
        if (group)
                *group++ = '\0';
        if (!*text && (!group || !*group))
                return report_usage(verb, "the owner is missing: it takes USER, USER:GROUP or :GROUP");
        if (*text && !account_user(uid, text))
                return report_usage(verb, "there is no user %s: it takes the name or number of one", text);
        if (group && !account_group(gid, group))
                return report_usage(verb, "there is no group '%s': it takes the name or number of one", group);
        return STATUS_OK;
}

static int chown_exec(struct command *cmd, int argc, char **argv) {
        static const struct option long_options[] = { COMMAND_LONG };
        CLEANUP(shmd_closep) struct shmd *conn = NULL;
        int status = STATUS_OK;
        uint32_t uid, gid;

        /* There are no options of its own, so the first one ends it. */
        if (command_option(cmd, argc, argv, ":" COMMAND_SHORT, long_options) != COMMAND_DONE)
                return cmd->status;
        if (command_arguments(cmd, argc, argv, "an owner and the name of a segment", 2, INT_MAX))
                return STATUS_USAGE;
        if (parse_owner(&uid, &gid, cmd->verb, argv[optind]))
                return STATUS_USAGE;
        if (command_connect(cmd, &conn))
                return STATUS_FAILED;
        for (char **name = argv + optind + 1; *name; name++)
                if (shmd_chown(conn, *name, uid, gid) < 0)
                        status = command_report(conn, *name);
        return status;
}

const struct verb verb_chown = {
        .name = "chown",
        .usage = "[USER][:GROUP] NAME... [OPTION...]",
        .summary = "Give segments to another user or group; what is open stays open",
        .help = "Users and groups are names or numbers. An owner may give a segment to a group that\n"
                "he is in; anything else is for root and the daemon's administrators.\n"
                "\n",
        .exec = chown_exec,
};
