#include "stream.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 8192

struct head {
    double since;
    size_t size;
};

static bool make_room(struct dp_backlog *backlog, size_t more) {
    size_t used = backlog->end - backlog->start;
    if (backlog->end + more <= backlog->room) return true;
    if (backlog->start > backlog->room / 2 && used + more <= backlog->room) {
        memmove(backlog->memory, backlog->memory + backlog->start, used);
        backlog->start = 0;
        backlog->end = used;
        return true;
    }
    size_t room = backlog->room ? backlog->room * 2 : FIRST_ROOM;
    while (room < backlog->end + more) room *= 2;
    uint8_t *memory = realloc(backlog->memory, room);
    if (!memory) return false;
    backlog->memory = memory;
    backlog->room = room;
    return true;
}

bool dp_backlog_add(struct dp_backlog *backlog, double since, const struct iovec *parts, int count,
                    size_t size) {
    struct head head = {since, size};
    if (!make_room(backlog, sizeof head + size)) return false;
    memcpy(backlog->memory + backlog->end, &head, sizeof head);
    backlog->end += sizeof head;
    for (int at = 0; at < count; at++) {
        memcpy(backlog->memory + backlog->end, parts[at].iov_base, parts[at].iov_len);
        backlog->end += parts[at].iov_len;
    }
    backlog->octets += size;
    backlog->frames++;
    return true;
}

const uint8_t *dp_backlog_first(const struct dp_backlog *backlog, double *since, size_t *size) {
    struct head head;
    if (!backlog->frames) return NULL;
    memcpy(&head, backlog->memory + backlog->start, sizeof head);
    *since = head.since;
    *size = head.size;
    return backlog->memory + backlog->start + sizeof head;
}

void dp_backlog_drop(struct dp_backlog *backlog) {
    struct head head;
    memcpy(&head, backlog->memory + backlog->start, sizeof head);
    backlog->start += sizeof head + head.size;
    backlog->octets -= head.size;
    if (--backlog->frames == 0) dp_backlog_free(backlog);
}

void dp_backlog_free(struct dp_backlog *backlog) {
    free(backlog->memory);
    memset(backlog, 0, sizeof *backlog);
}
