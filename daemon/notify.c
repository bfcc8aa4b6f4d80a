#include "daemon/notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

bool notify_address(struct sockaddr_un *address, socklen_t *size) {
        const char *path = getenv("NOTIFY_SOCKET");
        size_t length = path ? strlen(path) : 0;

        if (length < 2 || length >= sizeof(address->sun_path) || (path[0] != '/' && path[0] != '@'))
                return false;
        *address = (struct sockaddr_un){ .sun_family = AF_UNIX };
        memcpy(address->sun_path, path, length);
        if (path[0] == '@') /* abstract: it begins with a NUL, and none ends it */
                address->sun_path[0] = '\0';
        *size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (path[0] == '/'));
        return true;
}
