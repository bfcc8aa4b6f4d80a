#include "daemon/result.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/connection.h"
#include "daemon/estate.h"
#include "daemon/request.h"
#include "daemon/server.h"

#define WAIT_SECONDS 10 /* the library gives up long before */

static int compare(const struct result *a, const struct result *b) {
        return (a->body.client > b->body.client) - (a->body.client < b->body.client);
}

TREE_GENERATE(result_tree, result, link, compare)

static void take_out(struct results *results, struct result *result) {
        (void)RB_REMOVE(result_tree, &results->waiting, result);
}

static void drop_all(struct results *results) {
        struct result *result;

        while ((result = RB_MIN(result_tree, &results->waiting))) {
                take_out(results, result);
                result_free(result);
        }
}

static void on_timer(evutil_socket_t fd, short what, void *data) {
        (void)fd;
        (void)what;
        drop_all(data);
}

void results_init(struct results *results, struct estate *estate, struct event_base *base) {
        *results = (struct results){ .estate = estate };
        RB_INIT(&results->waiting);
        (void)evtimer_assign(&results->timer, base, on_timer, results);
}

void results_deinit(struct results *results) {
        (void)event_del(&results->timer);
        drop_all(results);
}

static struct result *make(struct estate *estate) {
        uint32_t place = record_take(&estate->record, RECORD_RESULT);
        struct result *result = place == RECORD_NONE ? NULL : malloc(sizeof(*result));

        if (result)
                *result = (struct result){ .estate = estate, .place = place };
        else
                record_free(&estate->record, RECORD_RESULT, place);
        return result;
}

static void save(const struct result *result) {
        record_write(&result->estate->record, RECORD_RESULT, result->place, &result->body);
}

struct result *result_free(struct result *result) {
        if (!result)
                return NULL;
        if (!result->estate->sealed)
                record_free(&result->estate->record, RECORD_RESULT, result->place);
        free(result);
        return NULL;
}

void results_restore(struct results *results, const struct record_result *body) {
        struct result *result = make(results->estate);

        if (!result)
                return;
        result->body = *body;
        result->body.done = 1;
        save(result);
        if (RB_INSERT(result_tree, &results->waiting, result))
                result_free(result);
}

void results_start(struct results *results) {
        if (!RB_EMPTY(&results->waiting))
                (void)event_add(&results->timer, &(struct timeval){ .tv_sec = WAIT_SECONDS });
}

void result_find(struct connection *c, uint64_t token) {
        struct results *results = &c->server->results;
        struct result key = { .body = { .client = token } };
        struct result *result = RB_FIND(result_tree, &results->waiting, &key);

        c->token = token;
        if (!token || !result || result->body.uid != c->peer.uid)
                return;
        take_out(results, result);
        c->result = result;
}

static bool changes_things(uint16_t op) {
        return op == PROTO_OP_CREATE || op == PROTO_OP_REMOVE || op == PROTO_OP_CHMOD || op == PROTO_OP_CHOWN;
}

const struct proto_header *result_of(const struct request *r) {
        const struct proto_header *header = &r->message.header;
        const struct result *result = r->connection->result;
        const struct proto_header *reply =
                result ? (const struct proto_header *)(const void *)result->body.reply : NULL;

        if (!result || !result->body.done || !changes_things(header->op))
                return NULL;
        return reply->op == header->op && reply->serial == header->serial ? reply : NULL;
}

static void note(struct request *r, const struct proto_header *reply, uint64_t segment, bool done) {
        struct connection *c = r->connection;

        if (!c->token || reply->size > RECORD_REPLY_MAX)
                return;
        if (!c->result)
                c->result = make(&c->server->estate);
        if (!c->result)
                return;
        c->result->body = (struct record_result){
                .client = c->token,
                .segment = segment,
                .uid = c->peer.uid,
                .done = done,
                .size = reply->size,
        };
        memcpy(c->result->body.reply, reply, reply->size);
        save(c->result);
}

void result_begin(struct request *r, struct proto_header *reply, size_t size, uint64_t segment) {
        message_init(reply, r->message.header.op, size, r->message.header.serial);
        note(r, reply, segment, false);
}

void result_end(struct request *r, const struct proto_header *reply) {
        const struct result *result = r->connection->result;

        if (changes_things(reply->op) && reply->n_fds == 0)
                note(r, reply, result ? result->body.segment : 0, true);
}
