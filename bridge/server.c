/* SPDX-License-Identifier: MIT */
/* The connection to the server: made, lost, and made again. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bridge.h"

enum {
    FIRST_DELAY = 100,
    LONGEST_DELAY = 5000,
    PING_EVERY = 10000,
    API_PATIENCE = 1000,
    CLOSE_PATIENCE = 2000 /* ms */,
    SERVERS_MAX = 32
};

static void connected(struct bridge *b, natsConnection *nc)
{
    char url[256] = "?";

    natsConnection_GetConnectedUrl(nc, url, sizeof url);
    say(LOG_INFO, "connected to %s", url);
    b->connections++;
    b->connected = true;
    wake_main(b);
}

static void on_reconnected(natsConnection *nc, void *bridge)
{
    ((struct bridge *)bridge)->reconnects++;
    connected(bridge, nc);
}

static void on_disconnected(natsConnection *nc, void *bridge)
{
    struct bridge *b = bridge;

    (void)nc;
    b->connected = false;
    say(b->stopping ? LOG_DEBUG : LOG_WARNING,
        "disconnected; the queues keep what comes meanwhile");
    wake_main(b);
}

static void on_closed(natsConnection *nc, void *bridge)
{
    struct bridge *b = bridge;
    const char *why = NULL;

    natsConnection_GetLastError(nc, &why);
    b->connected = false;
    b->closed = true;
    say(LOG_INFO, "the connection is closed%s%s", why && *why ? ": " : "", why ? why : "");
    wake_main(b);
}

static void on_error(natsConnection *nc, natsSubscription *sub, natsStatus status, void *bridge)
{
    const char *why = NULL;

    (void)sub;
    (void)bridge;
    natsConnection_GetLastError(nc, &why);
    say(LOG_WARNING, "%s%s%s", natsStatus_GetText(status), why && *why ? ": " : "", why ? why : "");
}

static int64_t reconnect_delay(natsConnection *nc, int attempts, void *bridge)
{
    int64_t delay = FIRST_DELAY;

    (void)nc;
    (void)bridge;
    while (--attempts > 0 && delay < LONGEST_DELAY)
        delay *= 2;
    return delay < LONGEST_DELAY ? delay : LONGEST_DELAY;
}

/* url: the servers, with commas or blanks in between. */
static natsStatus set_servers(natsOptions *o, const char *url)
{
    const char *servers[SERVERS_MAX];
    char *list = strdup(url), *rest = NULL;
    int n = 0;

    if (!list)
        return NATS_NO_MEMORY;
    for (char *one = strtok_r(list, ", ", &rest); one && n < SERVERS_MAX;
         one = strtok_r(NULL, ", ", &rest))
        servers[n++] = one;
    natsStatus s = natsOptions_SetServers(o, servers, n);
    free(list);
    return s;
}

/* Set the servers, and the user or the credentials. */
static natsStatus set_access(natsOptions *o, const struct config *c)
{
    natsStatus s = set_servers(o, c->url ? c->url : NATS_DEFAULT_URL);

    if (s == NATS_OK && c->user)
        s = natsOptions_SetUserInfo(o, c->user, c->password);
    if (s == NATS_OK && c->credentials)
        s = natsOptions_SetUserCredentialsFromFiles(o, c->credentials, NULL);
    if (s == NATS_OK && (c->tls || c->tls_ca || c->tls_cert))
        s = natsOptions_SetSecure(o, true);
    if (s == NATS_OK && c->tls_ca)
        s = natsOptions_LoadCATrustedCertificates(o, c->tls_ca);
    if (s == NATS_OK && c->tls_cert)
        s = natsOptions_LoadCertificatesChain(o, c->tls_cert, c->tls_key);
    if (s == NATS_OK)
        s = natsOptions_SetName(o, c->name ? c->name : "shmring-bridge");
    return s;
}

static natsStatus set_behaviour(natsOptions *o, struct bridge *b)
{
    natsStatus s = natsOptions_SetMaxReconnect(o, -1);

    if (s == NATS_OK)
        s = natsOptions_SetCustomReconnectDelay(o, reconnect_delay, b);
    if (s == NATS_OK)
        s = natsOptions_SetDisconnectedCB(o, on_disconnected, b);
    if (s == NATS_OK)
        s = natsOptions_SetReconnectedCB(o, on_reconnected, b);
    if (s == NATS_OK)
        s = natsOptions_SetClosedCB(o, on_closed, b);
    if (s == NATS_OK)
        s = natsOptions_SetErrorHandler(o, on_error, b);
    if (s == NATS_OK)
        s = natsOptions_SetPingInterval(o, PING_EVERY);
    /* One thread of libnats calls back for all routes, instead of one for each. */
    return s == NATS_OK ? natsOptions_UseGlobalMessageDelivery(o, true) : s;
}

static int failed(const char *url, natsStatus s)
{
    const char *why = nats_GetLastError(NULL);

    say(LOG_ERROR, "cannot connect to %s: %s%s%s", url, natsStatus_GetText(s), why ? ": " : "",
        why ? why : "");
    return -EACCES;
}

int server_connect(struct bridge *b)
{
    const char *url = b->config->url ? b->config->url : NATS_DEFAULT_URL;
    natsStatus s = natsOptions_Create(&b->options);

    if (s == NATS_OK)
        s = set_access(b->options, b->config);
    if (s == NATS_OK)
        s = set_behaviour(b->options, b);
    for (int attempts = 1; s == NATS_OK; attempts++) {
        s = natsConnection_Connect(&b->nc, b->options);
        if (s != NATS_NO_SERVER && s != NATS_IO_ERROR && s != NATS_TIMEOUT)
            break;
        if (attempts == 1)
            say(LOG_WARNING, "no server at %s yet: trying again", url);
        (void)wake_wait(b, reconnect_delay(NULL, attempts, b));
        if (b->stopping)
            return -EINTR;
        s = NATS_OK;
    }
    if (s != NATS_OK)
        return failed(url, s);
    connected(b, b->nc);
    jsOptions options;
    jsOptions_Init(&options);
    options.Wait = API_PATIENCE;
    s = natsConnection_JetStream(&b->js, b->nc, &options);
    return s == NATS_OK ? 0 : failed(url, s);
}

void server_unsubscribe(natsSubscription *sub)
{
    /* Without the drain libnats would not free messages that it has not delivered yet. */
    if (sub && natsSubscription_DrainTimeout(sub, API_PATIENCE) == NATS_OK)
        (void)natsSubscription_WaitForDrainCompletion(sub, API_PATIENCE);
    natsSubscription_Destroy(sub);
}

bool server_close(struct bridge *b)
{
    jsCtx_Destroy(b->js);
    natsConnection_Destroy(b->nc);
    natsOptions_Destroy(b->options);
    natsStatus s = nats_CloseAndWait(CLOSE_PATIENCE);
    if (s != NATS_OK)
        say(LOG_WARNING, "libnats does not end: %s", natsStatus_GetText(s));
    return s == NATS_OK;
}
