#define _GNU_SOURCE
#include "daemon/segment.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "daemon/allocation.h"
#include "daemon/estate.h"
#include "daemon/group.h"
#include "daemon/user.h"
#include "proto/message.h"

#define MEMFD_NAME_MAX 249 /* the kernel's, without the NUL */

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

static uint64_t page_size(uint32_t flags) {
        return flags & PROTO_SEGMENT_HUGE ? GEOMETRY_HUGE_PAGE : (uint64_t)sysconf(_SC_PAGESIZE);
}

int segment_geometry(struct geometry *out, const struct segment_parameters *p) {
        return geometry_init(out, p->slot_size, p->n_slots, page_size(p->flags));
}

int segment_memfd(const char *name, uint64_t size, unsigned flags) {
        char full[MEMFD_NAME_MAX + 1];
        CLEANUP(fd_closep) int fd = -1;

        (void)snprintf(full, sizeof(full), "shmd:%s", name);
        flags |= MFD_CLOEXEC | MFD_ALLOW_SEALING;
        fd = memfd_create(full, flags | MFD_NOEXEC_SEAL);
        if (fd < 0 && errno == EINVAL)
                fd = memfd_create(full, flags); /* before Linux 6.3 */
        if (fd < 0)
                return -errno;
        /* With the mode that it is born with, anybody could open a read-only description anew for writing. */
        if (fchmod(fd, 0600) < 0)
                return -errno;
        if (ftruncate(fd, (off_t)size) < 0)
                return -errno;
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
                return -errno;
        return STEAL_FD(fd);
}

int segment_describe(int fd, int flags) {
        char path[32];
        int r;

        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        r = open(path, flags | O_CLOEXEC);
        return r < 0 ? -errno : r;
}

static struct flock lock_of(short type, uint32_t id) {
        return (struct flock){
                .l_type = type,
                .l_whence = SEEK_SET,
                .l_start = LAYOUT_LOCK_BASE + id,
                .l_len = 1,
        };
}

int segment_lock_byte(int fd, uint32_t id) {
        struct flock lock = lock_of(F_WRLCK, id);

        if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
                return 0;
        if (errno != EACCES && errno != EAGAIN)
                return -errno;
        /* Whoever may only read can take read locks, on any byte. He is to keep nobody out by them, so if nothing else is
         * in the way, the sign of life is a read lock, too. */
        lock = lock_of(F_RDLCK, id);
        if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
                return 0;
        return errno == EACCES ? -EAGAIN : -errno;
}

bool segment_is_locked(int fd, uint32_t id) {
        struct flock lock = lock_of(F_WRLCK, id);

        return fcntl(fd, F_OFD_GETLK, &lock) < 0 || lock.l_type != F_UNLCK;
}

static uint64_t now(void) {
        struct timespec t;

        (void)clock_gettime(CLOCK_REALTIME, &t);
        return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct segment *make(const struct segment_parameters *p, const struct geometry *geometry,
                            const struct segment_hosts *hosts) {
        size_t name_size = strlen(p->name) + 1;
        size_t type_size = strlen(p->type) + 1;
        struct segment *s = malloc(sizeof(*s) + name_size + type_size);

        if (!s)
                return NULL;
        *s = (struct segment){
                .state = SEGMENT_CREATING,
                .n_refs = 1,
                .rule = p->rule,
                .policy = p->policy,
                .flags = p->flags,
                .foreign_holds = p->foreign_holds,
                .page_size = (uint32_t)page_size(p->flags),
                .fd = -1,
                .life = -1,
                .room = -1,
                .place = RECORD_NONE,
                .geometry = *geometry,
                .estate = hosts->estate,
                .worker = hosts->worker,
                .version = 1,
                .version_read = 1,
                .type = s->name + name_size,
        };
        TAILQ_INIT(&s->handles);
        LIST_INIT(&s->writers);
        LIST_INIT(&s->groups);
        memcpy(s->name, p->name, name_size);
        memcpy(s->type, p->type, type_size);
        s->writer_ids[LAYOUT_WRITER_DAEMON / 64] |= UINT64_C(1) << LAYOUT_WRITER_DAEMON % 64;
        return s;
}

int segment_new(struct segment **out, const struct segment_parameters *p, const struct geometry *geometry,
                struct quota_account *account, const struct segment_hosts *hosts) {
        CLEANUP(segment_unrefp) struct segment *s = make(p, geometry, hosts);
        int r;

        if (!s)
                return -ENOMEM;
        r = quota_charge(&s->charges[0], account, QUOTA_SEGMENTS, 1);
        if (r == 0)
                r = quota_charge(&s->charges[1], account, QUOTA_BYTES, geometry->file_size);
        if (r == 0)
                r = estate_reserve_segment(s->estate, s);
        if (r)
                return r;
        r = segment_memfd(p->name, geometry->file_size, p->flags & PROTO_SEGMENT_HUGE ? MFD_HUGETLB | MFD_HUGE_2MB : 0);
        if (r < 0)
                return r;
        s->fd = r;
        s->id = estate_number(s->estate);
        s->created = now();
        *out = STEAL_PTR(s);
        return 0;
}

static uint64_t blocks(const struct segment *s) {
        struct stat st;

        return fstat(s->fd, &st) < 0 ? 0 : (uint64_t)st.st_blocks * 512;
}

/* What is asked for of a segment that nobody has open, without mapping it. */
static void look(struct segment *s) {
        struct layout_header header;
        struct layout_slot slot;
        uint64_t word;

        if (pread(s->fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header))
                return;
        word = atomic_load(&header.head);
        s->rest_sequence = slots_word_sequence(word);
        if (word && slots_word_slot(word) < s->geometry.n_slots &&
            pread(s->fd, &slot, sizeof(slot),
                  (off_t)(s->geometry.slot_offset + slots_word_slot(word) * sizeof(slot))) == (ssize_t)sizeof(slot))
                s->rest_timestamp = atomic_load(&slot.timestamp);
        s->rest_allocated = blocks(s);
}

int segment_restore(struct segment **out, const struct segment_parameters *p, const struct geometry *geometry,
                    uint64_t id, uint64_t created, int fd, struct quota_account *account,
                    const struct segment_hosts *hosts) {
        CLEANUP(fd_closep) int own = fd;
        CLEANUP(segment_unrefp) struct segment *s = make(p, geometry, hosts);

        if (!s)
                return -ENOMEM;
        quota_charge_anyhow(&s->charges[0], account, QUOTA_SEGMENTS, 1);
        quota_charge_anyhow(&s->charges[1], account, QUOTA_BYTES, geometry->file_size);
        s->id = id;
        s->created = created;
        s->fd = STEAL_FD(own);
        estate_adopt_segment(s->estate, s);
        s->place = record_take(&s->estate->record, RECORD_SEGMENT);
        if (s->place == RECORD_NONE)
                return ESTATE_E_FULL;
        s->state = SEGMENT_READY;
        look(s);
        *out = STEAL_PTR(s);
        return 0;
}

struct segment *segment_ref(struct segment *s) {
        s->n_refs++;
        return s;
}

struct segment *segment_unref(struct segment *s) {
        if (!s || --s->n_refs > 0)
                return NULL;
        assert(s->n_handles == 0 && LIST_EMPTY(&s->groups) && !s->changed && !s->mapping.base);
        estate_drop_segment(s->estate, s);
        if (s->fd >= 0 && !s->charges[0].account->quotas->ending) {
                allocation_release(s->fd, s->geometry.file_size, s->worker, s->charges);
        } else {
                fd_close(s->fd);
                for (int i = 0; i < ALLOCATION_CHARGES; i++)
                        quota_release(&s->charges[i]);
        }
        free(s);
        return NULL;
}

static uint64_t round_up(uint64_t n, uint64_t to) { return (n + to - 1) / to * to; }

static size_t metadata_size(const struct segment *s) { return round_up(s->geometry.payload_offset, s->page_size); }

uint64_t segment_allocation(const struct segment *s) {
        return s->flags & PROTO_SEGMENT_SPARSE ? metadata_size(s) : s->geometry.file_size;
}

/* Our own sign of life, as every writer has one: nobody takes the lock over from us while we tidy up. Not on the
 * description that the next instance gets, which outlives us. A writer that has the byte only makes us look alive when
 * we are not. */
static int show_life(struct segment *s) {
        int r = segment_describe(s->fd, O_RDWR);

        if (r < 0)
                return r;
        s->life = r;
        r = segment_lock_byte(s->life, LAYOUT_WRITER_DAEMON);
        return r == -EAGAIN ? 0 : r;
}

int segment_map(struct segment *s) {
        int r;

        if (s->mapping.base)
                return 0;
        r = show_life(s);
        if (r == 0)
                r = mapping_init(&s->mapping, s->fd, metadata_size(s));
        if (r < 0)
                fd_close(STEAL_FD(s->life));
        return r;
}

struct slots segment_slots(const struct segment *s) {
        return (struct slots){ .geometry = s->geometry, .base = s->mapping.base };
}

int segment_finish(struct segment *s) {
        struct slots slots;
        int r = mapping_init(&s->mapping, s->fd, metadata_size(s));

        if (r < 0)
                return r;
        slots = segment_slots(s);
        slots_init(&slots);
        mapping_deinit(&s->mapping);
        s->rest_allocated = blocks(s);
        s->state = SEGMENT_READY;
        estate_keep_segment(s->estate, s);
        return 0;
}

void segment_rest(struct segment *s) {
        struct group *g;

        assert(s->n_handles == 0);
        while ((g = LIST_FIRST(&s->groups))) {
                LIST_REMOVE(g, link);
                group_free(g);
        }
        s->group_indices = 0;
        if (s->room >= 0)
                estate_drop_room(s->estate, s);
        if (s->room_user)
                user_close(s->room_user, STEAL_FD(s->room));
        s->room_user = user_unref(s->room_user);
        fd_close(STEAL_FD(s->room)); /* nobody has used it since a restart */
        /* What is asked for later is known now: nobody has it open. To map it for each look would cost an interrupt on
         * every core that one of our threads was on; to ask the file, a third of the time of a long list. */
        segment_newest(s, &s->rest_sequence, &s->rest_timestamp);
        s->rest_allocated = blocks(s);
        mapping_deinit(&s->mapping);
        fd_close(STEAL_FD(s->life));
}

void segment_raise_epoch(struct segment *s) {
        struct slots slots = segment_slots(s);

        if (slots.base)
                atomic_fetch_add(&slots_header(&slots)->epoch, 1);
}

void segment_raise_unannounced(struct segment *s) {
        struct slots slots = segment_slots(s);

        if (slots.base)
                atomic_fetch_add(&slots_header(&slots)->unannounced, 1);
}

bool segment_is_being_written(const struct segment *s) {
        uint32_t lock;

        return pread(s->fd, &lock, sizeof(lock), offsetof(struct layout_header, lock)) == (ssize_t)sizeof(lock) &&
               slots_lock_owner(lock) != UINT32_MAX;
}

void segment_newest(const struct segment *s, uint64_t *sequence, uint64_t *timestamp) {
        struct slots slots = segment_slots(s);

        *sequence = slots.base ? slots_newest(&slots) : s->rest_sequence;
        *timestamp = slots.base ? slots_newest_timestamp(&slots) : s->rest_timestamp;
}

uint64_t segment_allocated(const struct segment *s) {
        return s->state == SEGMENT_CREATING || s->mapping.base ? blocks(s) : s->rest_allocated;
}
