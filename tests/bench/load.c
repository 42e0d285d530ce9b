/* A small load generator over epoll: closed loop (RATE 0) or open loop (RATE > 0, latency from the scheduled time).
 *
 *   load PORT CONCURRENCY SECONDS RATE WARM_SECONDS REQUESTS [once]
 *
 * REQUESTS holds whole HTTP requests, each after its length as 4 little-endian bytes. They are sent in order; with `once`
 * each at most once (a voucher buys one answer) and the run ends early when they are used up, otherwise they start over.
 * Stops by itself. Prints one line of JSON. Connects to 127.0.0.1 only.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_ROOM = 16384, READ_ROOM = 1 << 18, EVENTS = 512 };
enum { HEAD, LENGTH, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER };

typedef struct {
    double *items;
    size_t count, room;
} Samples;

typedef struct {
    int fd, is_busy, state, status, must_close, has_body;
    int64_t sent_at;
    long left, lines;
    int head_length, line_length;
    char head[HEAD_ROOM], line[64];
} Connection;

static struct sockaddr_in target;
static int poller;
static char *requests;
static size_t requests_size, requests_at;
static int is_once, is_used_up, is_measuring;
static Samples latency, first_byte;
static long done, failed, reconnected, events, not_ok;

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void keep(Samples *samples, double item) {
    if (samples->count == samples->room) {
        samples->room = samples->room ? samples->room * 2 : 4096;
        samples->items = realloc(samples->items, samples->room * sizeof item);
    }
    samples->items[samples->count++] = item;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double quantile(Samples *samples, double q) {
    return samples->count ? samples->items[(size_t)(q * (samples->count - 1) + .5)] : 0;
}

static void open_connection(Connection *c) {
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(c->fd, (void *)&target, sizeof target)) {
        perror("load: connect");
        exit(2);
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event);
}

static void reopen(Connection *c) {
    close(c->fd);
    open_connection(c);
    reconnected++;
}

/* The next whole request; 0 when they are used up. */
static const char *next_request(uint32_t *length) {
    if (requests_at >= requests_size) {
        if (is_once) {
            is_used_up = 1;
            return 0;
        }
        requests_at = 0;
    }
    memcpy(length, requests + requests_at, 4);
    const char *request = requests + requests_at + 4;
    requests_at += 4 + *length;
    return request;
}

static void send_request(Connection *c, int64_t sent_at) {
    uint32_t length;
    const char *request = next_request(&length);
    if (!request) return;
    c->is_busy = 1;
    c->state = HEAD;
    c->head_length = c->line_length = c->must_close = c->has_body = 0;
    c->lines = 0;
    c->sent_at = sent_at;
    for (uint32_t at = 0; at < length;) {
        int sent = send(c->fd, request + at, length - at, MSG_NOSIGNAL);
        if (sent <= 0 && errno != EINTR) return;
        if (sent > 0) at += sent;
    }
}

static void read_body(Connection *c, char *bytes, int count) {
    if (count <= 0) return;
    if (!c->has_body) {
        c->has_body = 1;
        if (is_measuring) keep(&first_byte, (now_ns() - c->sent_at) / 1e3);
    }
    for (char *at = bytes; (at = memchr(at, '\n', bytes + count - at)); at++) c->lines++;
}

static void finish(Connection *c) {
    c->is_busy = 0;
    if (is_measuring) {
        keep(&latency, (now_ns() - c->sent_at) / 1e3);
        done++;
        events += c->lines / 2;
        if (c->status != 200) not_ok++;
    }
    if (c->must_close) reopen(c);
}

/* Reads the head; how many of the bytes it used, or -1 while it is not whole. */
static int read_head(Connection *c, const char *bytes, int count) {
    int taken = count < HEAD_ROOM - 1 - c->head_length ? count : HEAD_ROOM - 1 - c->head_length;
    int before = c->head_length, is_chunked = 0;
    memcpy(c->head + before, bytes, taken);
    c->head_length += taken;
    c->head[c->head_length] = 0;
    char *end = strstr(c->head, "\r\n\r\n");
    if (!end) return -1;
    c->status = atoi(c->head + 9);
    c->left = -1;
    for (char *line = c->head; (line = strstr(line, "\r\n")) && line < end;) {
        line += 2;
        if (!strncasecmp(line, "content-length:", 15)) c->left = atol(line + 15);
        else if (!strncasecmp(line, "transfer-encoding:", 18) && strcasestr(line, "chunked")) is_chunked = 1;
        else if (!strncasecmp(line, "connection: close", 17)) c->must_close = 1;
    }
    if (is_chunked) c->state = CHUNK_SIZE;
    else c->state = LENGTH;
    if (!is_chunked && c->left < 0) {
        c->left = 1L << 60;
        c->must_close = 1;
    }
    int used = end + 4 - c->head - before;
    if (c->state == LENGTH && !c->left) finish(c);
    return used;
}

/* A line of the chunked frame; how many bytes it used. `is_whole` tells whether the line ended. */
static int read_line(Connection *c, const char *bytes, int count, int *is_whole) {
    for (int i = 0; i < count; i++) {
        if (bytes[i] == '\n') {
            c->line[c->line_length] = 0;
            *is_whole = 1;
            return i + 1;
        }
        if (c->line_length < 60) c->line[c->line_length++] = bytes[i];
    }
    *is_whole = 0;
    return count;
}

static int read_chunk_part(Connection *c, char *bytes, int count) {
    int is_whole;
    if (c->state == CHUNK_DATA || c->state == CHUNK_END) {
        int taken = count < c->left ? count : c->left;
        if (c->state == CHUNK_DATA) read_body(c, bytes, taken);
        c->left -= taken;
        if (!c->left) {
            c->left = c->state == CHUNK_DATA ? 2 : 0;
            c->state = c->state == CHUNK_DATA ? CHUNK_END : CHUNK_SIZE;
        }
        return taken;
    }
    int used = read_line(c, bytes, count, &is_whole);
    if (!is_whole) return used;
    int is_empty = c->line_length == 0 || (c->line_length == 1 && c->line[0] == '\r');
    c->line_length = 0;
    if (c->state == TRAILER) {
        if (is_empty) finish(c);
        return used;
    }
    c->left = strtol(c->line, 0, 16);
    c->state = c->left ? CHUNK_DATA : TRAILER;
    return used;
}

static void feed(Connection *c, char *bytes, int count) {
    while (count > 0 && c->is_busy) {
        int used;
        if (c->state == HEAD) {
            used = read_head(c, bytes, count);
            if (used < 0) return;
        } else if (c->state == LENGTH) {
            used = count < c->left ? count : c->left;
            read_body(c, bytes, used);
            c->left -= used;
            if (!c->left) finish(c);
        } else {
            used = read_chunk_part(c, bytes, count);
        }
        bytes += used;
        count -= used;
    }
}

static char *read_file(const char *name, size_t *size) {
    FILE *file = fopen(name, "rb");
    if (!file) {
        perror(name);
        exit(2);
    }
    fseek(file, 0, SEEK_END);
    *size = ftell(file);
    rewind(file);
    char *bytes = malloc(*size + 1);
    if (fread(bytes, 1, *size, file) != *size) exit(2);
    fclose(file);
    return bytes;
}

static double cpu_seconds(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* Scheduled sends that found no free connection: their latency counts from the schedule. */
typedef struct {
    int64_t *items;
    size_t head, tail, room;
} Backlog;

static void push_due(Backlog *backlog, double *next, double gap, int64_t now) {
    for (; *next <= now; *next += gap) {
        if (backlog->tail == backlog->room) {
            backlog->room = backlog->room ? backlog->room * 2 : 1024;
            backlog->items = realloc(backlog->items, backlog->room * sizeof(int64_t));
        }
        backlog->items[backlog->tail++] = (int64_t)*next;
    }
}

static void report(double seconds, double cpu) {
    qsort(latency.items, latency.count, sizeof(double), compare);
    qsort(first_byte.items, first_byte.count, sizeof(double), compare);
    printf("{\"seconds\":%.3f,\"done\":%ld,\"per_second\":%.1f,\"failed\":%ld,\"not_ok\":%ld,\"reconnected\":%ld,"
           "\"latency_p50\":%.1f,\"latency_p90\":%.1f,\"latency_p99\":%.1f,\"first_byte_p50\":%.1f,\"first_byte_p99\":%.1f,"
           "\"events\":%ld,\"used_up\":%s,\"client_cpu_seconds\":%.3f}\n",
           seconds, done, done / seconds, failed, not_ok, reconnected, quantile(&latency, .5), quantile(&latency, .9),
           quantile(&latency, .99), quantile(&first_byte, .5), quantile(&first_byte, .99), events,
           is_used_up ? "true" : "false", cpu);
}

int main(int argc, char **argv) {
    if (argc < 7) {
        fprintf(stderr, "usage: load PORT CONCURRENCY SECONDS RATE WARM_SECONDS REQUESTS [once]\n");
        return 2;
    }
    int concurrency = atoi(argv[2]);
    double seconds = atof(argv[3]), rate = atof(argv[4]), warm = atof(argv[5]), cpu_before = 0;
    requests = read_file(argv[6], &requests_size);
    is_once = argc > 7;
    target = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    poller = epoll_create1(0);
    Connection *all = calloc(concurrency, sizeof *all);
    for (int i = 0; i < concurrency; i++) open_connection(&all[i]);

    static char bytes[READ_ROOM];
    struct epoll_event ready[EVENTS];
    Backlog backlog = {0};
    int64_t start = now_ns(), measure_at = start + (int64_t)(warm * 1e9), end_at = measure_at + (int64_t)(seconds * 1e9);
    int64_t measured_from = 0;
    double next = start, gap = rate > 0 ? 1e9 / rate : 0;
    int turn = 0;
    if (rate == 0)
        for (int i = 0; i < concurrency; i++) send_request(&all[i], now_ns());
    for (;;) {
        int64_t now = now_ns();
        if (!is_measuring && now >= measure_at && !measured_from) {
            is_measuring = 1;
            measured_from = now;
            cpu_before = cpu_seconds();
        }
        if (now >= end_at || is_used_up) break;
        if (rate > 0) {
            push_due(&backlog, &next, gap, now);
            for (int i = 0; i < concurrency && backlog.head < backlog.tail; i++, turn = (turn + 1) % concurrency)
                if (!all[turn].is_busy) send_request(&all[turn], backlog.items[backlog.head++]);
        }
        int64_t wake = measured_from ? end_at : measure_at;
        if (rate > 0 && (int64_t)next < wake) wake = (int64_t)next;
        int64_t left = wake > now_ns() ? wake - now_ns() : 0;
        struct timespec wait = {left / 1000000000, left % 1000000000};
        int count = epoll_pwait2(poller, ready, EVENTS, &wait, 0);
        for (int i = 0; i < count; i++) {
            Connection *c = ready[i].data.ptr;
            int got = recv(c->fd, bytes, sizeof bytes, 0);
            if (got > 0) {
                feed(c, bytes, got);
            } else {
                if (c->is_busy && c->state == LENGTH && c->left > 1L << 50) finish(c);
                else {
                    failed += c->is_busy;
                    c->is_busy = 0;
                    reopen(c);
                }
            }
            if (c->is_busy) continue;
            if (rate == 0) send_request(c, now_ns());
            else if (backlog.head < backlog.tail) send_request(c, backlog.items[backlog.head++]);
        }
    }
    report((now_ns() - measured_from) / 1e9, cpu_seconds() - cpu_before);
    return 0;
}
