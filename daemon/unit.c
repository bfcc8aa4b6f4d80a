#define _GNU_SOURCE
#include "daemon/unit.h"

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <time.h>

#include "daemon/log.h"
#include "daemon/server.h"

static void on_ready(evutil_socket_t fd, short what, void *data);

static int on_answer(sd_bus_message *m, void *data, sd_bus_error *error) {
        struct server *server = data;
        uint32_t max;

        (void)error;
        if (sd_bus_message_is_method_error(m, NULL))
                log_write(LOG_DEBUG, NULL, "systemd does not tell how many descriptors it keeps: %s",
                          sd_bus_message_get_error(m)->message);
        else if (sd_bus_message_read(m, "v", "u", &max) > 0)
                server_limit_store(server, max);
        /* Asked once: the bus is done with. */
        sd_bus_close(server->unit.bus);
        return 0;
}

/* Wait for what the bus waits for. Return: 0 or a negative errno. */
static int wait_for_bus(struct server *server) {
        struct unit *u = &server->unit;
        int fd = sd_bus_get_fd(u->bus);
        int events = sd_bus_get_events(u->bus);
        short what = 0;
        uint64_t until;
        struct timespec now;

        if (fd < 0 || events < 0)
                return -ENOTCONN;
        (void)event_del(&u->socket);
        if (events & POLLIN)
                what |= EV_READ;
        if (events & POLLOUT)
                what |= EV_WRITE;
        (void)event_assign(&u->socket, server->base, fd, what, on_ready, server);
        if (event_add(&u->socket, NULL) < 0)
                return -ENOMEM;
        if (sd_bus_get_timeout(u->bus, &until) < 0 || until == UINT64_MAX)
                return 0;
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        until -= (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
        if ((int64_t)until < 0)
                until = 0;
        return event_add(&u->deadline, &(struct timeval){ .tv_sec = (time_t)(until / 1000000),
                                                          .tv_usec = (suseconds_t)(until % 1000000) });
}

static void go_on(struct server *server) {
        int r;

        do
                r = sd_bus_process(server->unit.bus, NULL);
        while (r > 0);
        if (r == 0)
                r = wait_for_bus(server);
        if (r < 0)
                unit_deinit(server);
}

static void on_ready(evutil_socket_t fd, short what, void *data) {
        (void)fd;
        (void)what;
        go_on(data);
}

/* A user's manager can be asked without a bus. Return: 0 or a negative errno. */
static int open_bus(sd_bus **bus) {
        const char *directory = getenv("XDG_RUNTIME_DIR");
        char address[128];
        int r;

        if (!directory || !*directory)
                return sd_bus_open_system(bus);
        r = sd_bus_new(bus);
        if (r < 0)
                return r;
        (void)snprintf(address, sizeof(address), "unix:path=%s/systemd/private", directory);
        r = sd_bus_set_address(*bus, address);
        return r < 0 ? r : sd_bus_start(*bus);
}

void unit_init(struct server *server) {
        struct unit *u = &server->unit;

        (void)evtimer_assign(&u->deadline, server->base, on_ready, server);
        (void)evtimer_assign(&u->socket, server->base, on_ready, server);
        if (server->store_max == 0 || getenv("FDSTORE"))
                return;
        if (open_bus(&u->bus) < 0 ||
            sd_bus_call_method_async(u->bus, NULL, "org.freedesktop.systemd1", "/org/freedesktop/systemd1/unit/self",
                                     "org.freedesktop.DBus.Properties", "Get", on_answer, server, "ss",
                                     "org.freedesktop.systemd1.Service", "FileDescriptorStoreMax") < 0)
                unit_deinit(server);
        else
                go_on(server);
}

void unit_deinit(struct server *server) {
        struct unit *u = &server->unit;

        (void)event_del(&u->socket);
        (void)event_del(&u->deadline);
        u->bus = sd_bus_close_unref(u->bus);
}
