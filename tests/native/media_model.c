#include "media_model.h"

#include <stdlib.h>
#include <string.h>

struct media_model media;

union dp_addr media_addr(uint8_t host, uint8_t port) {
    return traffic_addr(false, host, (uint16_t)(FIRST_PORT + port));
}

struct srtp_session *media_receives(int at) {
    struct model_end *end = &media.ends[at];
    return end->plain ? &end->receives : &media.transports[end->transport].receives;
}

int media_fd(int at) {
    const struct model_end *end = &media.ends[at];
    return end->plain ? end->fds[0] : media.transports[end->transport].fd;
}

/* What leaves */

static struct model_end *end_of(uint32_t ssrc) {
    for (int at = 0; at < ENDS; at++)
        if (media.ends[at].end && media.ends[at].ssrc == ssrc) return &media.ends[at];
    return NULL;
}

static uint32_t read32(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void check_place(const struct model_end *end, int fd, const union dp_addr *to) {
    if (end->plain) {
        REQUIRE(end->fds[0] == fd && end->remote);
        REQUIRE((ntohl(to->in.sin_addr.s_addr) & 0xFF) == end->remote);
    } else {
        const struct model_transport *on = &media.transports[end->transport];
        REQUIRE(on->has_way && dp_addr_same(to, &on->target));
    }
}

/* The packet in the clear; what others sent is as it was, but for its header. */
static void check_packet(struct model_end *end, const uint8_t *data, size_t size) {
    REQUIRE(size >= DP_RTP_HEADER && (data[0] & ~0x20) == 0x80);
    end->heard++;
    if (media.own) return;
    uint8_t type = data[1] & 0x7F;
    REQUIRE(type >= FIRST_TYPE && type < FIRST_TYPE + TYPES);
    size_t padding = data[0] & 0x20 ? data[size - 1] : 0;
    REQUIRE(padding <= size - DP_RTP_HEADER);
    if (type == EVENT_TYPE) return;
    const struct origin *origin =
        traffic_origin(data + DP_RTP_HEADER, size - DP_RTP_HEADER - padding);
    REQUIRE(!origin || (end->peer >= 0 && media_fd(end->peer) == origin->fd));
    REQUIRE(!origin || traffic_is_first(origin));
}

static void open_and_check(struct model_end *end, const uint8_t *data, size_t size) {
    static uint8_t clear[DP_LARGEST];
    const struct dp_srtp *srtp = &end->end->way->srtp;
    memcpy(clear, data, size);
    int length = (int)size;
    REQUIRE(!srtp->wanted || size <= DP_SRTP_LARGEST);
    if (srtp->wanted) REQUIRE(!srtp_stand_in_unprotect(srtp->sends, clear, &length));
    check_packet(end, clear, (size_t)length);
}

static void hear(int fd, const union dp_addr *to, const uint8_t *data, size_t size) {
    if (size < DP_RTP_HEADER || data[0] >> 6 != 2) return;
    struct model_end *end = end_of(read32(data + 8));
    if (media.own && !end) return;
    REQUIRE(end);
    check_place(end, fd, to);
    open_and_check(end, data, size);
}

static void took(int fd, const uint8_t *data, size_t size) {
    (void)data, (void)size;
    /* A socket that is nobody's counts nothing. */
    for (int at = 0; at < TRANSPORTS; at++) {
        const struct model_transport *on = &media.transports[at];
        if (on->transport && on->fd == fd && !on->socket->transport) return;
    }
    media.taken++;
}

/* Counters */

static uint64_t sum(const uint64_t *dropped) {
    uint64_t all = 0;
    for (int why = 0; why < DP_DROPS; why++)
        if (why != DP_REFUSED) all += dropped[why];
    return all;
}

/* None that was true is taken for one. */
static uint64_t malformed(void) {
    uint64_t all = media.malformed;
    for (int at = 0; at < ENDS; at++)
        if (media.ends[at].end) all += media.ends[at].end->dropped[DP_MALFORMED];
    return all;
}

static void take_event(const struct dp_event *event) {
    const uint8_t *data = event->data;
    switch (event->kind) {
    case DP_RTCP:
    case DP_OTHER:
        media.told++;
        break;
    case DP_TRACE:
        REQUIRE(event->size == (event->more % 256 == DP_WENT_NOWHERE ? 0 : DP_RTP_HEADER));
        break;
    case DP_MISSED:
        REQUIRE(event->size && event->size % 2 == 0 && event->size <= 2 * DP_MISSING_MOST);
        break;
    default:
        REQUIRE(event->kind == DP_PUT && event->size >= DP_RTP_HEADER);
        if (end_of(read32(data + 8))) open_and_check(end_of(read32(data + 8)), data, event->size);
    }
}

static void take_events(void) {
    for (int at = 0; at < media.plane->events_used; at++) {
        const struct dp_event *event = &media.plane->events[at];
        REQUIRE(event->data + event->size <= media.plane->arena + media.plane->arena_used);
        take_event(event);
    }
    dp_told(media.plane);
}

void media_check(void) {
    uint64_t done = media.forwarded + media.dropped;
    REQUIRE(!media.plane->outs_used && !media.plane->pending_used);
    take_events();
    for (int at = 0; at < ENDS; at++) {
        const struct model_end *end = &media.ends[at];
        if (!end->end) continue;
        done += end->end->forwarded + sum(end->end->dropped);
        if (end->plain) REQUIRE(end->heard == end->end->sent.packets);
    }
    for (int at = 0; at < TRANSPORTS; at++)
        if (media.transports[at].transport) done += sum(media.transports[at].transport->dropped);
    REQUIRE(malformed() <= media.doubtful);
    REQUIRE(done + media.told <= media.taken);
    REQUIRE(media.taken <= done + media.told + media.plane->untold);
}

/* Coming and going */

static void begin(struct model_end *made) {
    made->peer = -1;
    made->heard = 0;
    made->remote = 0;
    made->ssrc = made->end->outgoing.ssrc = ++media.opened;
    made->sends = made->receives = (struct srtp_session){0};
    made->sources.used = 0;
    for (int type = FIRST_TYPE; type < FIRST_TYPE + TYPES; type++) {
        made->end->numbers[type].mapped = (uint8_t)type;
        made->end->numbers[type].rate = type & 1 ? 8000 : 90000;
    }
    made->end->numbers[EVENT_TYPE].here = 8000;
    made->end->numbers[EVENT_TYPE].there = 48000;
}

void media_open_plain(int at) {
    struct model_end *made = &media.ends[at];
    if (made->end) return;
    for (int which = 0; which < 2; which++) {
        union dp_addr own = traffic_addr(false, 100, (uint16_t)(40000 + 2 * at + which));
        made->fds[which] = sim_udp(&own);
    }
    made->plain = dp_plain_open(media.plane, made->fds[0], made->fds[1]);
    REQUIRE(made->plain);
    made->end = &made->plain->end;
    begin(made);
}

void media_open_transport(int at) {
    struct model_transport *made = &media.transports[at];
    union dp_addr own = traffic_addr(false, 100, (uint16_t)(41000 + at));
    if (made->transport) return;
    memset(made, 0, sizeof *made);
    made->fd = sim_udp(&own);
    made->transport = dp_transport_new(media.plane);
    made->socket = dp_web_open(media.plane, made->fd);
    REQUIRE(made->transport && made->socket);
    made->socket->transport = made->transport;
}

void media_sort(int transport) {
    struct dp_transport *on = media.transports[transport].transport;
    memset(on->by_number, 0, sizeof on->by_number);
    on->first = NULL;
    for (int at = PLAINS; at < ENDS; at++) {
        const struct model_end *end = &media.ends[at];
        if (!end->end || end->transport != transport) continue;
        if (!on->first) on->first = end->end;
        /* Two of the numbers for each. */
        for (int type = 0; type < 2; type++)
            on->by_number[FIRST_TYPE + (at & 1) * 2 + type] = end->end;
    }
}

void media_open_on(int at, int transport) {
    struct model_end *made = &media.ends[at];
    struct dp_transport *on = media.transports[transport].transport;
    if (made->end || !on) return;
    made->plain = NULL;
    made->transport = transport;
    made->end = malloc(sizeof *made->end);
    REQUIRE(made->end);
    dp_end_init(made->end, media.plane, &on->way);
    begin(made);
    media_sort(transport);
}

void media_close_end(int at) {
    struct model_end *end = &media.ends[at];
    if (!end->end) return;
    media.forwarded += end->end->forwarded;
    media.dropped += sum(end->end->dropped);
    media.malformed += end->end->dropped[DP_MALFORMED];
    for (int other = 0; other < ENDS; other++)
        if (media.ends[other].peer == at) media.ends[other].peer = -1;
    struct dp_end *gone = end->end;
    end->end = NULL;
    if (end->plain) {
        dp_plain_free(media.plane, end->plain);
    } else {
        if (at & 2) dp_transport_forget(media.transports[end->transport].transport, gone);
        media_sort(end->transport);
        dp_end_clear(gone);
        free(gone);
    }
}

void media_close_transport(int at) {
    struct model_transport *gone = &media.transports[at];
    if (!gone->transport) return;
    for (int end = PLAINS; end < ENDS; end++)
        if (media.ends[end].transport == at) media_close_end(end);
    media.dropped += sum(gone->transport->dropped);
    dp_web_close(media.plane, gone->socket);
    dp_transport_free(gone->transport);
    gone->transport = NULL;
}

void media_join(int one, int other) {
    struct model_end *pair[2] = {&media.ends[one], &media.ends[other]};
    if (!pair[0]->end || !pair[1]->end) return;
    for (int at = 0; at < ENDS; at++)
        if (media.ends[at].peer == one || media.ends[at].peer == other) media.ends[at].peer = -1;
    dp_end_join(pair[0]->end, pair[1]->end);
    pair[0]->peer = other;
    pair[1]->peer = one;
}

void media_set_keys(int at, uint8_t key) {
    struct model_end *end = &media.ends[at];
    struct model_transport *on = &media.transports[end->transport];
    if (!end->end) return;
    /* What was kept went out under other keys. */
    for (int each = 0; each < ENDS; each++)
        if (media.ends[each].end && media.ends[each].end->way == end->end->way)
            dp_end_keep(media.ends[each].end, false);
    struct srtp_session *sends = end->plain ? &end->sends : &on->sends;
    struct srtp_session *receives = end->plain ? &end->receives : &on->receives;
    *sends = (struct srtp_session){(uint8_t)(key | 1), (key & 0xE0) == 0xE0};
    *receives = (struct srtp_session){(uint8_t)((key ^ 0x55) | 1), false};
    struct dp_sources *sources = end->plain ? &end->sources : &on->sources;
    sources->used = 0;
    struct dp_srtp *srtp = &end->end->way->srtp;
    if (!key)
        *srtp = (struct dp_srtp){.wanted = !end->plain};
    else
        *srtp =
            (struct dp_srtp){true, key == 1 ? NULL : sends, key == 2 ? NULL : receives, sources};
}

void media_open(void) {
    memset(&media, 0, sizeof media);
    media.now = 1000;
    media.opened = 1000;
    for (int at = 0; at < ENDS; at++) media.ends[at].peer = -1;
    media.plane = dp_open();
    REQUIRE(media.plane);
    dp_srtp_use(srtp_stand_in_protect, srtp_stand_in_unprotect);
    sim_ears = (struct sim_ears){.sent = hear, .took = took};
}

void media_close(void) {
    for (int at = 0; at < ENDS; at += 2) media_close_end(at);
    for (int at = 0; at < TRANSPORTS; at++) media_close_transport(at);
    for (int at = 0; at < ENDS; at++) media_close_end(at);
    dp_close(media.plane);
}
