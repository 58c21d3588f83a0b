#include "stress/real/proxy.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <deque>
#include <list>
#include <string>
#include <vector>

#include "actors/runtime/rng.hpp"

namespace drover::real {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr size_t piece_bytes = 8 << 10;
constexpr size_t held_bytes_max = 32 << 10;  // of one way: what the wire itself holds
constexpr int socket_buffer_bytes = 16 << 10;
constexpr int segment_bytes = 1448;
constexpr size_t connections_max = 256;

sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

int new_socket() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return fd;
  const int one = 1;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &socket_buffer_bytes, sizeof socket_buffer_bytes);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &socket_buffer_bytes, sizeof socket_buffer_bytes);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  // Segments as on a wire. Those of loopback are larger than these buffers: each window update would wait for the timer
  // of delayed acknowledgements, 40 ms.
  setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment_bytes, sizeof segment_bytes);
  return fd;
}

void close_with_reset(int fd) {
  const linger now{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(fd);
}

struct Piece {
  std::string bytes;
  Clock::time_point due;
};

// One way of one connection.
struct Way {
  int from = -1;
  int to = -1;
  std::deque<Piece> held;
  size_t held_bytes = 0;
  bool ended = false;  // nothing more comes
  bool told = false;   // and the other side knows

  bool wants_bytes() const { return !ended && held_bytes < held_bytes_max; }
  bool done() const { return ended && held.empty(); }
};

struct Link {
  Way up, down;
  bool broken = false;
};

}  // namespace

class Proxy::Loop {
 public:
  Loop(Proxy& proxy, int listener, uint16_t server_port, uint64_t seed)
      : p_(proxy), listener_(listener), server_port_(server_port), rng_(runtime::Rng::stream(seed, "proxy")) {}
  ~Loop() {
    for (Link& link : links_) drop(link, true);
    close(listener_);
  }

  void run() {
    while (!p_.stop_) {
      if (p_.resets_ != resets_seen_) reset_all();
      refill();
      wait();
      if (links_.size() < connections_max && !(p_.cut_up_ && p_.cut_down_)) accept_all();
      for (auto link = links_.begin(); link != links_.end();) {
        move(*link);
        const bool over = link->broken || (link->up.done() && link->down.done());
        if (over) drop(*link, link->broken);
        link = over ? links_.erase(link) : std::next(link);
      }
    }
  }

 private:
  void accept_all() {
    for (;;) {
      const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
      if (client < 0) return;
      const int one = 1;
      setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
      const int server = new_socket();
      const sockaddr_in address = loopback(server_port_);
      const int rc = connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address);
      if (server < 0 || (rc != 0 && errno != EINPROGRESS)) {
        close_with_reset(client);
        if (server >= 0) close(server);
        continue;
      }
      ++p_.connections_;
      Link& link = links_.emplace_back();
      link.up.from = link.down.to = client;
      link.up.to = link.down.from = server;
    }
  }

  void reset_all() {
    resets_seen_ = p_.resets_;
    for (Link& link : links_) drop(link, true);
    if (!links_.empty()) p_.hit_ = true;
    links_.clear();
  }

  void drop(Link& link, bool with_reset) {
    for (const int fd : {link.up.from, link.up.to}) with_reset ? close_with_reset(fd) : (void)close(fd);
  }

  // Until a socket has something, a piece is due, or a moment has passed.
  void wait() {
    std::vector<pollfd> fds{{listener_, POLLIN, 0}};
    if (p_.cut_up_ && p_.cut_down_) fds.clear();
    auto wake = Clock::now() + milliseconds(20);
    for (const Link& link : links_)
      for (const Way* way : {&link.up, &link.down}) {
        const bool cut = way == &link.up ? p_.cut_up_ : p_.cut_down_;
        const bool starved = way == &link.up && p_.bytes_per_s_ > 0 && tokens_ <= 0;
        if (cut) continue;
        if (way->wants_bytes() && !starved) fds.push_back({way->from, POLLIN, 0});
        if (starved) wake = std::min(wake, Clock::now() + milliseconds(1));
        if (way->held.empty()) continue;
        if (way->held.front().due <= Clock::now())
          fds.push_back({way->to, POLLOUT, 0});
        else
          wake = std::min(wake, way->held.front().due);
      }
    const auto left = std::chrono::duration_cast<milliseconds>(wake - Clock::now()).count();
    poll(fds.data(), fds.size(), static_cast<int>(std::max<int64_t>(left, 0)) + 1);
  }

  void refill() {
    const auto now = Clock::now();
    const double passed_s = std::chrono::duration<double>(now - refilled_).count();
    refilled_ = now;
    const auto rate = static_cast<double>(p_.bytes_per_s_);
    tokens_ = std::min(tokens_ + passed_s * rate, std::max(rate * 0.005, double{piece_bytes}));
  }

  void move(Link& link) {
    if (!p_.cut_up_)
      take(link, link.up, p_.bytes_up_, p_.bytes_per_s_ > 0);
    else if (!link.up.held.empty())
      p_.hit_ = true;
    if (!p_.cut_down_)
      take(link, link.down, p_.bytes_down_, false);
    else if (!link.down.held.empty())
      p_.hit_ = true;
    if (!p_.cut_up_) give(link, link.up);
    if (!p_.cut_down_) give(link, link.down);
  }

  void take(Link& link, Way& way, std::atomic<uint64_t>& counter, bool limited) {
    char buffer[piece_bytes];
    while (way.wants_bytes() && !link.broken && (!limited || tokens_ > 0)) {
      const ssize_t n = read(way.from, buffer, sizeof buffer);
      if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR || errno == ENOTCONN)) return;
      if (n < 0) link.broken = true;
      if (n <= 0) {
        way.ended = true;
        return;
      }
      counter += static_cast<uint64_t>(n);
      if (limited) tokens_ -= static_cast<double>(n);
      hold(way, std::string(buffer, static_cast<size_t>(n)));
    }
  }

  void hold(Way& way, std::string bytes) {
    auto due = Clock::now() + milliseconds(p_.delay_ms_.load());
    const uint32_t loss_permille = p_.loss_permille_;
    if (loss_permille > 0 && rng_.below(1000) < loss_permille) due += milliseconds(200);
    if (p_.delay_ms_ > 0 || loss_permille > 0) p_.hit_ = true;
    if (!way.held.empty()) due = std::max(due, way.held.back().due);
    way.held_bytes += bytes.size();
    way.held.push_back({std::move(bytes), due});
  }

  void give(Link& link, Way& way) {
    while (!way.held.empty() && !link.broken && way.held.front().due <= Clock::now()) {
      std::string& bytes = way.held.front().bytes;
      const ssize_t n = send(way.to, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n < 0) {
        link.broken = errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR && errno != ENOTCONN;
        return;
      }
      way.held_bytes -= static_cast<size_t>(n);
      bytes.erase(0, static_cast<size_t>(n));
      if (!bytes.empty()) return;
      way.held.pop_front();
    }
    if (way.done() && !way.told) {
      shutdown(way.to, SHUT_WR);
      way.told = true;
    }
  }

  Proxy& p_;
  int listener_;
  uint16_t server_port_;
  runtime::Rng rng_;
  std::list<Link> links_;
  uint32_t resets_seen_ = 0;
  double tokens_ = 0;  // bytes that may be taken from clients now
  Clock::time_point refilled_ = Clock::now();
};

Result<std::unique_ptr<Proxy>> Proxy::start(uint16_t server_port, uint64_t bytes_per_s, uint64_t seed) {
  const int listener = new_socket();
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  if (listener < 0 || bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(listener, 64) != 0 ||
      getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    if (listener >= 0) close(listener);
    return fail(Errc::io, "proxy", std::strerror(errno));
  }
  std::unique_ptr<Proxy> proxy(new Proxy);
  proxy->port_ = ntohs(address.sin_port);
  proxy->bytes_per_s_ = bytes_per_s;
  auto loop = std::make_unique<Loop>(*proxy, listener, server_port, seed);
  proxy->thread_ = std::thread([loop = std::move(loop)] { loop->run(); });
  return proxy;
}

Proxy::~Proxy() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
}

void Proxy::set(const Weather& weather) {
  delay_ms_ = weather.delay_ms;
  loss_permille_ = weather.loss_permille;
  cut_up_ = weather.cut_up;
  cut_down_ = weather.cut_down;
}

}  // namespace drover::real
