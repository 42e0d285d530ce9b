/* A fast stub of an OpenAI chat server for measuring gateways: one thread, epoll, answers at once.
 *
 *   stub PORT
 *
 * Read from a body: "stream":true, "max_tokens":N (events of the stream), "seed":G (microseconds between events, 0 = all
 * at once), "include_usage":true (a usage event before [DONE]). Every event adds one word, and
 * nothing else differs from event to event, as with vLLM.
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
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 8192, BUFFER = 65536, BACKLOG = 2048, EVENTS = 256 };

typedef struct {
    int fd, length, generation;
    int is_streaming, wants_usage;
    long left, total;
    int64_t gap, due;
    char buffer[BUFFER];
} Connection;

typedef struct {
    int64_t due;
    int fd, generation;
} Timer;

static Connection *connections[MAX_CONNECTIONS];
static Timer *heap;
static int heap_size, heap_room;

static const char PLAIN[] =
    "{\"id\":\"chatcmpl-123456789012345678901234\",\"object\":\"chat.completion\",\"created\":1760000000,\"model\":\"stub\","
    "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\" there are many people who said that they "
    "could see the time when all of these words will be one and you can use them for some more\",\"tool_calls\":[]},\"logprobs\":null,"
    "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":64,\"completion_tokens\":64,\"total_tokens\":128}}";
static const char MODELS[] =
    "{\"object\":\"list\",\"data\":[{\"id\":\"stub\",\"object\":\"model\",\"created\":1760000000,\"owned_by\":\"stub\","
    "\"root\":\"stub\",\"parent\":null,\"max_model_len\":8192}]}";
static const char INFO[] =
    "{\"model_path\":\"stub\",\"served_model_name\":\"stub\",\"model_id\":\"stub\",\"tokenizer_path\":\"stub\","
    "\"is_generation\":true,\"status\":\"ok\",\"version\":\"0.10.0\"}";

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void heap_push(Timer timer) {
    if (heap_size == heap_room) {
        heap_room = heap_room ? heap_room * 2 : 1024;
        heap = realloc(heap, heap_room * sizeof *heap);
    }
    int at = heap_size++;
    while (at && heap[(at - 1) / 2].due > timer.due) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = timer;
}

static Timer heap_pop(void) {
    Timer first = heap[0], last = heap[--heap_size];
    int at = 0;
    for (;;) {
        int child = 2 * at + 1;
        if (child >= heap_size) break;
        if (child + 1 < heap_size && heap[child + 1].due < heap[child].due) child++;
        if (heap[child].due >= last.due) break;
        heap[at] = heap[child];
        at = child;
    }
    if (heap_size) heap[at] = last;
    return first;
}

static void write_all(int fd, const char *bytes, int count) {
    while (count > 0) {
        int sent = send(fd, bytes, count, MSG_NOSIGNAL);
        if (sent > 0) {
            bytes += sent;
            count -= sent;
        } else if (sent < 0 && errno == EAGAIN) {
            struct timespec pause = {0, 20000};
            nanosleep(&pause, 0);
        } else {
            return;
        }
    }
}

static void write_json(int fd, const char *body) {
    char out[4096];
    int count = snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s",
                         (int)strlen(body), body);
    write_all(fd, out, count);
}

static int put_event(char *out, const char *delta, const char *finish) {
    char event[768];
    int count = snprintf(event, sizeof event,
                         "data: {\"id\":\"chatcmpl-123456789012345678901234\",\"object\":\"chat.completion.chunk\","
                         "\"created\":1760000000,\"model\":\"stub\",\"system_fingerprint\":\"fp_000000000000000000\","
                         "\"choices\":[{\"index\":0,\"delta\":{%s},\"logprobs\":null,\"finish_reason\":%s}]}\n\n",
                         delta, finish);
    return sprintf(out, "%x\r\n%s\r\n", count, event);
}

static int put_usage(char *out, long tokens) {
    char event[512];
    int count = snprintf(event, sizeof event,
                         "data: {\"id\":\"chatcmpl-123456789012345678901234\",\"object\":\"chat.completion.chunk\","
                         "\"created\":1760000000,\"model\":\"stub\",\"choices\":[],\"usage\":{\"prompt_tokens\":64,"
                         "\"completion_tokens\":%ld,\"total_tokens\":%ld}}\n\n",
                         tokens, 64 + tokens);
    return sprintf(out, "%x\r\n%s\r\n", count, event);
}

static void write_event(Connection *c) {
    char out[2048];
    int count;
    if (c->left > 1 || c->total == 1) {
        count = put_event(out, "\"content\":\" people\"", "null");
    } else {
        count = put_event(out, "", "\"stop\"");
    }
    if (--c->left == 0) {
        if (c->wants_usage) count += put_usage(out + count, c->total);
        count += sprintf(out + count, "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n");
        c->is_streaming = 0;
    }
    write_all(c->fd, out, count);
}

static long number_after(const char *body, const char *key, long otherwise) {
    const char *at = strstr(body, key);
    if (!at) return otherwise;
    at += strlen(key);
    while (*at == ' ' || *at == ':') at++;
    return strtol(at, 0, 10);
}

static void start_stream(Connection *c, const char *body) {
    static const char HEAD[] = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
                               "cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";
    c->total = c->left = number_after(body, "\"max_tokens\"", 64);
    c->gap = number_after(body, "\"seed\"", 0) * 1000LL;
    c->wants_usage = strstr(body, "\"include_usage\":true") != 0;
    c->is_streaming = 1;
    write_all(c->fd, HEAD, sizeof HEAD - 1);
    if (!c->gap) {
        while (c->left) write_event(c);
        return;
    }
    write_event(c);
    if (c->left) {
        c->due = now_ns() + c->gap;
        heap_push((Timer){c->due, c->fd, c->generation});
    }
}

/* Where the request at the buffer's start ends, or 0 while it is not whole. */
static int request_end(Connection *c, int *head_end) {
    char *end = strstr(c->buffer, "\r\n\r\n");
    if (!end) return 0;
    *head_end = end - c->buffer + 4;
    for (char *line = c->buffer; (line = strstr(line, "\r\n")) && line < end;) {
        line += 2;
        if (!strncasecmp(line, "content-length:", 15)) {
            int whole = *head_end + atoi(line + 15);
            return c->length >= whole ? whole : 0;
        }
        if (!strncasecmp(line, "transfer-encoding: chunked", 26)) {
            char *last = strstr(end + 2, "\r\n0\r\n\r\n");
            return last ? last + 7 - c->buffer : 0;
        }
    }
    return *head_end;
}

static void answer(Connection *c) {
    int head_end, end;
    while (!c->is_streaming && (end = request_end(c, &head_end))) {
        char saved = c->buffer[end];
        c->buffer[end] = 0;
        char *body = c->buffer + head_end;
        if (!strncmp(c->buffer, "GET /v1/models", 14)) write_json(c->fd, MODELS);
        else if (strncmp(c->buffer, "POST", 4) || !strstr(c->buffer, "/completions")) write_json(c->fd, INFO);
        else if (strstr(body, "\"stream\":true") || strstr(body, "\"stream\": true")) start_stream(c, body);
        else write_json(c->fd, PLAIN);
        c->buffer[end] = saved;
        memmove(c->buffer, c->buffer + end, c->length - end);
        c->length -= end;
        c->buffer[c->length] = 0;
    }
}

static void accept_all(int listener, int poller) {
    int fd, on = 1;
    while ((fd = accept4(listener, 0, 0, SOCK_NONBLOCK)) >= 0) {
        if (fd >= MAX_CONNECTIONS) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (!connections[fd]) connections[fd] = calloc(1, sizeof(Connection));
        connections[fd]->fd = fd;
        connections[fd]->length = connections[fd]->is_streaming = 0;
        connections[fd]->generation++;
        struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.fd = fd};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    }
}

static void receive(Connection *c) {
    int count = recv(c->fd, c->buffer + c->length, BUFFER - 1 - c->length, 0);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) {
        c->generation++;
        c->is_streaming = 0;
        close(c->fd);
        return;
    }
    c->length += count;
    c->buffer[c->length] = 0;
    answer(c);
}

static void run_due(void) {
    int64_t now = now_ns();
    while (heap_size && heap[0].due <= now) {
        Timer timer = heap_pop();
        Connection *c = connections[timer.fd];
        if (!c || c->generation != timer.generation || !c->is_streaming) continue;
        write_event(c);
        if (!c->left) {
            answer(c);
            continue;
        }
        c->due = timer.due + c->gap;
        heap_push((Timer){c->due, timer.fd, timer.generation});
    }
}

int main(int argc, char **argv) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(argc > 1 ? atoi(argv[1]) : 9001)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, BACKLOG)) {
        perror("stub");
        return 1;
    }
    int poller = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[EVENTS];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        struct timespec wait, *limit = 0;
        if (heap_size) {
            int64_t left = heap[0].due - now_ns();
            if (left < 0) left = 0;
            wait = (struct timespec){left / 1000000000, left % 1000000000};
            limit = &wait;
        }
        int count = epoll_pwait2(poller, events, EVENTS, limit, 0);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener) accept_all(listener, poller);
            else receive(connections[events[i].data.fd]);
        }
        run_due();
    }
}
