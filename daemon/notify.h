/* notify.h -- where a service manager wants to be told: $NOTIFY_SOCKET. What it is told is the users' business. */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Return: false if there is no manager, or its address is of another kind. */
bool notify_address(struct sockaddr_un *address, socklen_t *size);
