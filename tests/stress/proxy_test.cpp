// The proxy that plays a bad network, with real sockets.
#include "stress/real/proxy.hpp"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <string>

using namespace drover;
using namespace drover::real;

namespace {

constexpr int patience_ms = 10'000;

sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

struct Socket {
  explicit Socket(int handle) : fd(handle) { REQUIRE(fd >= 0); }
  ~Socket() { close(fd); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  bool ready(int wait_ms) const {
    pollfd one{fd, POLLIN, 0};
    return poll(&one, 1, wait_ms) == 1;
  }
  void say(const std::string& text) const {
    REQUIRE(send(fd, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size()));
  }
  // So many bytes, or what came before the end.
  std::string hear(size_t size) const {
    std::string out;
    while (out.size() < size && ready(patience_ms)) {
      char buffer[4096];
      const ssize_t n = read(fd, buffer, std::min(sizeof buffer, size - out.size()));
      if (n <= 0) break;
      out.append(buffer, static_cast<size_t>(n));
    }
    return out;
  }
  // What read() says once there is something: 0 for an end, below 0 for a reset.
  ssize_t ending() const {
    char byte = 0;
    return ready(patience_ms) ? read(fd, &byte, 1) : 1;
  }
  int fd;
};

// A server behind a proxy, and one connection through it.
struct Pair {
  Pair()
      : listener(socket(AF_INET, SOCK_STREAM, 0)),
        proxy((listen_now(), *Proxy::start(port, 0, 1))),
        client(socket(AF_INET, SOCK_STREAM, 0)) {
    const auto address = loopback(proxy->port());
    REQUIRE(connect(client.fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(listener.ready(patience_ms));
    server = std::make_unique<Socket>(accept(listener.fd, nullptr, nullptr));
  }
  void listen_now() {
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    REQUIRE(bind(listener.fd, reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(listen(listener.fd, 8) == 0);
    REQUIRE(getsockname(listener.fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port = ntohs(address.sin_port);
  }

  Socket listener;
  uint16_t port = 0;
  std::unique_ptr<Proxy> proxy;
  Socket client;
  std::unique_ptr<Socket> server;
};

}  // namespace

TEST_CASE("stress/proxy: bytes pass both ways, are counted, and an end is passed on") {
  Pair pair;
  const std::string up(300'000, 'u');
  std::string heard;
  pair.client.say("hello");
  CHECK(pair.server->hear(5) == "hello");
  pair.server->say("welcome");
  CHECK(pair.client.hear(7) == "welcome");
  pair.proxy->set_rate(2'000'000);
  for (size_t at = 0; at < up.size(); at += 10'000) {  // no more than the proxy and the kernel hold
    pair.client.say(up.substr(at, 10'000));
    heard += pair.server->hear(10'000);
  }
  CHECK(heard == up);
  CHECK(pair.proxy->bytes_up() == up.size() + 5);
  CHECK(pair.proxy->bytes_down() == 7);
  CHECK(pair.proxy->connections() == 1);
  shutdown(pair.client.fd, SHUT_WR);
  CHECK(pair.server->ending() == 0);
}

TEST_CASE("stress/proxy: a cut holds bytes back and loses none") {
  Pair pair;
  pair.proxy->set({0, 0, true, false});
  pair.client.say("held");
  pair.server->say("passes");
  CHECK(pair.client.hear(6) == "passes");
  CHECK_FALSE(pair.server->ready(50));
  pair.proxy->set({});
  CHECK(pair.server->hear(4) == "held");
  pair.proxy->set({0, 0, false, true});
  pair.server->say("held too");
  pair.client.say("passes");
  CHECK(pair.server->hear(6) == "passes");
  CHECK_FALSE(pair.client.ready(50));
  pair.proxy->set({});
  CHECK(pair.client.hear(8) == "held too");
}

TEST_CASE("stress/proxy: delay and loss keep the order, and say that they struck") {
  Pair pair;
  CHECK_FALSE(pair.proxy->hit());
  pair.proxy->set({20, 300, false, false});
  std::string all;
  for (int i = 0; i < 20; ++i) {
    const std::string text = "piece " + std::to_string(i) + ";";
    pair.client.say(text);
    all += text;
  }
  CHECK(pair.server->hear(all.size()) == all);
  CHECK(pair.proxy->hit());
  CHECK_FALSE(pair.proxy->hit());
}

TEST_CASE("stress/proxy: a reset ends both sides as a reset") {
  Pair pair;
  pair.client.say("x");
  CHECK(pair.server->hear(1) == "x");
  pair.proxy->reset();
  CHECK(pair.client.ending() < 0);
  CHECK(pair.server->ending() < 0);
}
