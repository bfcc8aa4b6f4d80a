/*
 * log_event.h -- the kinds of events that there is a MESSAGE_ID for.
 *
 * systemd/shmd.catalog explains each. An id stays what it is: others look for it.
 */
#pragma once

enum log_event {
        LOG_EVENT_NONE,
        LOG_EVENT_READY,
        LOG_EVENT_ENDING,
        LOG_EVENT_START_FAILED,
        LOG_EVENT_RELOADED,
        LOG_EVENT_RELOAD_REFUSED,
        LOG_EVENT_LIMIT,       /* a limit of the system is too low for what the daemon may have */
        LOG_EVENT_TURNED_AWAY, /* there is no room for another client */
        LOG_EVENT_DROPPED,     /* a client, for what it did */
        LOG_EVENT_CREATED,
        LOG_EVENT_CHANGED, /* a segment's owner, group or mode */
        LOG_EVENT_REMOVED,
        LOG_EVENT_LEFT_OUT, /* lines of the log */
        LOG_EVENT_RESTORED, /* what the instance before has left */
        LOG_EVENT_LOST,     /* a segment, or readers, of the instance before */
        LOG_EVENT_STORE,    /* the service manager does not keep what it should */
};

#define LOG_EVENT_IDS                                                            \
        {                                                                        \
                [LOG_EVENT_READY] = "4d72ef7198414124aa6dd1962c942b4a",          \
                [LOG_EVENT_ENDING] = "d22234c565a74d2c9e5fdc109736a71d",         \
                [LOG_EVENT_START_FAILED] = "cb0f1de2a17e4f97a7a230ad5a56847f",   \
                [LOG_EVENT_RELOADED] = "dada17c97d8845fba303e4f47ebbefc3",       \
                [LOG_EVENT_RELOAD_REFUSED] = "4c27d48e22514762820f9a980b21175f", \
                [LOG_EVENT_LIMIT] = "8699454607c74bae85a245f486ccb60e",          \
                [LOG_EVENT_TURNED_AWAY] = "13e4523ea7214125a27acfef4416360a",    \
                [LOG_EVENT_DROPPED] = "fbb14128b5884289859b52da0c065570",        \
                [LOG_EVENT_CREATED] = "fae24a34139b40a68c36e7553dba4198",        \
                [LOG_EVENT_CHANGED] = "4fe6dd4f955b46cab7b7c2eb124e9b9b",        \
                [LOG_EVENT_REMOVED] = "3f9ea9ef6685450d884e8c778d6333b8",        \
                [LOG_EVENT_LEFT_OUT] = "b954bcda4978417bb34f3f32053e38fa",       \
                [LOG_EVENT_RESTORED] = "22a30bc6e2bc4712950628f53ecb7105",       \
                [LOG_EVENT_LOST] = "3dcd28ad2bd5455791c07379ffcfcb6c",           \
                [LOG_EVENT_STORE] = "8632c2635ce04849b5f1b1d4ab26cc43",          \
        }
