#include <netinet/in.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Answers requests without a body on one connection, and writes the client's port and each request line to stdout. */
static void serve(SSL_CTX *context, int fd, unsigned port) {
    static char head[65536];
    static const char answer[] = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    size_t len = 0;
    SSL *ssl = SSL_new(context);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) != 1) return;
    for (int got; (got = SSL_read(ssl, head + len, sizeof head - 1 - len)) > 0;) {
        len += got;
        head[len] = 0;
        for (char *end; (end = strstr(head, "\r\n\r\n")) != NULL;) {
            printf("%u %.*s\n", port, (int)strcspn(head, "\r"), head);
            fflush(stdout);
            if (SSL_write(ssl, answer, sizeof answer - 1) <= 0) return;
            len -= end + 4 - head;
            memmove(head, end + 4, len + 1);
        }
    }
    SSL_free(ssl);
}

int main(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(443)};
    socklen_t size = sizeof address;
    int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    signal(SIGCHLD, SIG_IGN);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (SSL_CTX_use_certificate_file(context, "certificate.pem", SSL_FILETYPE_PEM) != 1
        || SSL_CTX_use_PrivateKey_file(context, "key.pem", SSL_FILETYPE_PEM) != 1
        || bind(listener, (struct sockaddr *)&address, size) || listen(listener, 16))
        return 1;
    for (int fd; (fd = accept(listener, (struct sockaddr *)&address, &size)) >= 0; close(fd))
        if (fork() == 0) {
            serve(context, fd, ntohs(address.sin_port));
            return 0;
        }
    return 1;
}
