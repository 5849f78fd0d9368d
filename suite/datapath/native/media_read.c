/*
 * Packets of many sockets, read one after another, then taken together, then sent together.
 *
 * One at a time, the kernel's receiving, the ciphers and the kernel's sending would each find their
 * code pushed out of the cache by the others: SRTP costs five times what it does in a row.
 */
#include "media.h"

struct left {
    struct dp_socket *socket;
    const struct dp_reader *reader;
    struct dp_slot *slots;
    int count;
};

/* Of the wake-up under way; nothing is left when it ends. */
static _Thread_local struct left all_left[DP_SLOTS];
static _Thread_local int left_used;

static void take_slot(struct dp_plane *plane, const struct left *left, struct dp_slot *slot) {
    size_t done = 0;
    do {
        size_t rest = slot->size - done;
        size_t size = rest < slot->segment ? rest : slot->segment;
        struct dp_packet packet = {slot->data + done, size, size == slot->size};
        left->reader->take(plane, left->socket, slot, &packet);
        done += size;
    } while (done < slot->size);
}

static void take_left(struct dp_plane *plane) {
    if (!left_used) return;
    for (int at = 0; at < left_used; at++)
        for (int place = 0; place < all_left[at].count; place++)
            take_slot(plane, &all_left[at], &all_left[at].slots[place]);
    dp_flush(plane);
    for (int at = 0; at < left_used; at++) all_left[at].reader->settle(plane, all_left[at].socket);
    left_used = 0;
}

int dp_media_receive(struct dp_plane *plane, struct dp_socket *socket, int share,
                     const struct dp_reader *reader) {
    plane->take = take_left;
    /* Each packet that is left may become an event. */
    int room = DP_EVENTS - plane->events_used - plane->slots_used;
    if (room <= 0) {
        dp_free_slots(plane);
        room = DP_EVENTS - plane->events_used;
    }
    if (share > DP_MEDIA_SHARE) share = DP_MEDIA_SHARE;
    if (share > room) share = room;
    int count = share > 0 ? dp_receive(plane, socket, share) : 0;
    if (count) all_left[left_used++] = (struct left){socket, reader, plane->slots, count};
    return count;
}
