#define _GNU_SOURCE
#include "daemon/service.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "daemon/log.h"
#include "daemon/notify.h"
#include "daemon/server.h"
#include "proto/cleanup.h"

#define STATUS_SECONDS 1
#define PINGS 3 /* in the time that the manager waits for one: a late one is not missed */

/* Like sd_notify(), which would wait for the manager where its queue is full. Return: false if it has not been sent. */
static bool tell(const struct service *s, const char *text) {
        return sendto(s->socket, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&s->address,
                      s->address_size) >= 0;
}

/* ---- status ----------------------------------------------------------------------------------------------------- */

static const char *size_text(uint64_t bytes, char *text, size_t size) {
        static const char units[] = "BKMGTPE";
        double n = (double)bytes;
        int unit = 0;

        while (n >= 1023.95 && units[unit + 1]) {
                n /= 1024;
                unit++;
        }
        (void)snprintf(text, size, "%.*f%c", unit > 0, n, units[unit]);
        return text;
}

static void tell_status(struct server *server) {
        struct service *s = &server->service;
        uint64_t segments = server->quotas.used[QUOTA_SEGMENTS];
        uint64_t clients = server->quotas.used[QUOTA_CLIENTS];
        char text[sizeof(s->told) + sizeof(s->trouble) + 32];
        char status[sizeof(s->told)];
        char bytes[16];

        (void)snprintf(status, sizeof(status), "%" PRIu64 " segment%s, %s, %" PRIu64 " client%s", segments,
                       segments == 1 ? "" : "s", size_text(server->quotas.used[QUOTA_BYTES], bytes, sizeof(bytes)),
                       clients, clients == 1 ? "" : "s");
        if (s->socket < 0 || strcmp(status, s->told) == 0)
                return;
        (void)snprintf(text, sizeof(text), "STATUS=%s%s%s", s->trouble, *s->trouble ? "; " : "", status);
        if (tell(s, text))
                (void)snprintf(s->told, sizeof(s->told), "%s", status);
}

static void on_status(evutil_socket_t fd, short what, void *data) {
        struct server *server = data;

        (void)fd;
        (void)what;
        server->service.changed = false;
        tell_status(server);
        /* What a worker takes back or allocates is counted when it is through with it. */
        if (server->pool.n_jobs > 0)
                service_changed(server);
}

void service_changed(struct server *server) {
        struct service *s = &server->service;

        if (s->changed || s->socket < 0)
                return;
        s->changed = event_add(&s->status, &(struct timeval){ .tv_sec = STATUS_SECONDS }) == 0;
}

/* ---- signs of life ---------------------------------------------------------------------------------------------- */

static void on_watchdog(evutil_socket_t fd, short what, void *data) {
        struct server *server = data;

        (void)fd;
        (void)what;
        (void)tell(&server->service, "WATCHDOG=1");
}

/* By a timer of the loop: a loop that hangs sends none. */
static void start_watchdog(struct service *s) {
        struct timeval interval;
        uint64_t usec;

        if (sd_watchdog_enabled(0, &usec) <= 0)
                return;
        usec /= PINGS;
        interval = (struct timeval){ .tv_sec = (time_t)(usec / 1000000), .tv_usec = (suseconds_t)(usec % 1000000) };
        if (event_add(&s->watchdog, &interval) < 0)
                log_warning("no memory for the watchdog's timer: systemd will take the daemon for dead");
}

/* ---- beginning, reload, end ------------------------------------------------------------------------------------- */

void service_init(struct server *server) {
        struct service *s = &server->service;

        *s = (struct service){ .socket = -1 };
        (void)event_assign(&s->watchdog, server->base, -1, EV_PERSIST, on_watchdog, server);
        (void)evtimer_assign(&s->status, server->base, on_status, server);
        if (notify_address(&s->address, &s->address_size))
                s->socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

void service_ready(struct server *server) {
        (void)sd_notify(0, "READY=1");
        start_watchdog(&server->service);
        tell_status(server);
}

void service_reloading(struct server *server) {
        struct timespec now;

        (void)server;
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
                         (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
}

void service_reloaded(struct server *server, const char *trouble) {
        struct service *s = &server->service;

        (void)snprintf(s->trouble, sizeof(s->trouble), "%s%s", trouble ? "the old configuration holds: " : "",
                       trouble ? trouble : "");
        s->told[0] = '\0';
        (void)sd_notify(0, "READY=1");
        tell_status(server);
}

void service_stopping(struct server *server) {
        (void)server;
        (void)sd_notify(0, "STOPPING=1");
}

void service_deinit(struct server *server) {
        struct service *s = &server->service;

        (void)event_del(&s->watchdog);
        (void)event_del(&s->status);
        fd_close(STEAL_FD(s->socket));
}
