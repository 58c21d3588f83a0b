// Real sockets on loopback: identity by certificate, and what hostile peers can do (nothing, logged once).
// Every wait is for an event, with a deadline that only a failure reaches.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <ctime>
#include <random>
#include <thread>

#include "tests/network/centre.hpp"

namespace drover::test {
namespace {

// A plain socket to the centre.
class Raw {
 public:
  explicit Raw(uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  Raw(Raw&& other) noexcept : fd_(std::exchange(other.fd_, -1)), connected_(other.connected_) {}
  ~Raw() {
    if (fd_ >= 0) ::close(fd_);
  }
  bool connected() const { return connected_; }
  int fd() const { return fd_; }
  void send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
  }
  // True when the centre ended the connection; false at the deadline.
  bool closed_by_peer() const {
    char buffer[4096];
    for (;;) {
      pollfd poller{fd_, POLLIN, 0};
      if (::poll(&poller, 1, 20'000) <= 0) return false;
      if (::recv(fd_, buffer, sizeof buffer, 0) <= 0) return true;
    }
  }

 private:
  int fd_;
  bool connected_ = false;
};

// A TLS client made by hand, with any certificate or none.
class Tls {
 public:
  Tls(uint16_t port, const Credentials* credentials) : raw_(port), context_(SSL_CTX_new(TLS_client_method())) {
    if (credentials != nullptr) {
      BIO* bio =
          BIO_new_mem_buf(credentials->certificate_pem.data(), static_cast<int>(credentials->certificate_pem.size()));
      X509* cert = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
      SSL_CTX_use_certificate(context_, cert);
      X509_free(cert);
      BIO_free(bio);
      bio = BIO_new_mem_buf(credentials->private_key_pem.data(), static_cast<int>(credentials->private_key_pem.size()));
      EVP_PKEY* key = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
      SSL_CTX_use_PrivateKey(context_, key);
      EVP_PKEY_free(key);
      BIO_free(bio);
    }
    ssl_ = SSL_new(context_);
    SSL_set_fd(ssl_, raw_.fd());
    SSL_connect(ssl_);
  }
  ~Tls() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }
  Tls(const Tls&) = delete;
  Tls& operator=(const Tls&) = delete;
  void send(std::string_view bytes) { SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size())); }
  bool closed_by_peer() const { return raw_.closed_by_peer(); }

 private:
  Raw raw_;
  SSL_CTX* context_;
  SSL* ssl_ = nullptr;
};

std::string words(std::initializer_list<uint32_t> values) {
  std::string out;
  for (const uint32_t value : values) out.append(reinterpret_cast<const char*>(&value), sizeof value);
  return out;
}

std::string random_bytes(std::mt19937& rng, size_t size) {
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(rng());
  return out;
}

}  // namespace

TEST_CASE("network/tls: a robot with a certificate of the fleet is served under the name in it") {
  Centre centre;
  CHECK(centre.serves("robot-01"));
  CHECK(centre.seen.count("hello robot/robot-01 inc=77") == 1);
  CHECK(centre.log.wait_for("network.session_down peer=robot/robot-01"));
}

TEST_CASE(
    "network/tls: no certificate, a foreign one, an expired one, a wrong role, a wrong name: refused, logged once "
    "each") {
  Centre centre;
  Authority foreign;
  const int64_t now_s = std::time(nullptr);
  const auto evil = foreign.issue(Role::robot, "robot-01");
  const auto expired = fleet().issue(Role::robot, "robot-01", now_s - 5 * 86'400, 1);
  const auto nameless = create_authority("robot/self-signed", now_s - 60, 1);
  const Credentials self_signed{nameless->certificate_pem, nameless->private_key_pem, ""};
  for (const Credentials* credentials : {static_cast<const Credentials*>(nullptr), &evil, &expired, &self_signed}) {
    for (int i = 0; i < 3; ++i) {
      Tls client(centre.port, credentials);
      CHECK(client.closed_by_peer());
    }
  }
  CHECK(centre.log.wait_for("network.peer_refused address=127.0.0.1 at=handshake"));
  CHECK(centre.log.count("at=handshake") == 1);
  CHECK(centre.seen.count("hello") == 0);
  CHECK(centre.serves());
}

TEST_CASE(
    "network/tls: a coordinator's certificate opens no session calls, and an uplink trusts only a coordinator by its "
    "name") {
  Centre centre;
  // Certificate and configuration disagree: caught before dialling.
  auto wrong = centre.dial_options(Role::robot, "robot-01");
  wrong.self.node_id = "robot-02";
  const auto refused = centre.net.dial(wrong);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().message().find("is of robot/robot-01, this node is robot/robot-02") != std::string::npos);
  // The centre's certificate has another name than the one expected.
  auto misled = centre.dial_options(Role::robot, "robot-01");
  misled.server_name = "other-centre";
  const auto uplink = centre.net.dial(misled);
  REQUIRE(uplink.has_value());
  CHECK(centre.log.wait_for("network.link_down centre=other-centre"));
  CHECK(centre.seen.count("hello") == 0);
}

TEST_CASE("network/tls: random bytes, HTTP and half a handshake end in a closed connection and few log lines") {
  Centre centre;
  const unsigned seed = std::random_device{}();
  INFO("seed ", seed);
  std::mt19937 rng(seed);
  for (int i = 0; i < 10; ++i) {
    Raw noise(centre.port), http(centre.port);
    noise.send("\x80" + random_bytes(rng, 4096));
    http.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK(noise.closed_by_peer());
    CHECK(http.closed_by_peer());
  }
  Raw slow(centre.port), silent(centre.port);
  slow.send(std::string("\x16\x03\x01\x02\x00\x01\x00", 7));
  CHECK(slow.closed_by_peer());
  CHECK(silent.closed_by_peer());
  CHECK(centre.log.wait_for("at=\"slow handshake\""));
  CHECK(centre.log.count("network.peer_refused") <= 3);
  CHECK(centre.serves());
}

TEST_CASE("network/tls: a known robot that lies in Cap'n Proto frames harms only its own connection") {
  Centre centre;
  const auto credentials = fleet().issue(Role::robot, "liar");
  const unsigned seed = std::random_device{}();
  INFO("seed ", seed);
  std::mt19937 rng(seed);
  std::vector<std::string> lies = {
      std::string(8, '\xff'),                                   // 2^32 segments
      words({0xfffffffe, 1}),                                   // nearly as many
      words({510, 0xffffffff}) + std::string(510 * 4, '\xff'),  // 511 segments of 32 GiB each
      words({0, 0xffffffff}),                                   // one segment of 32 GiB
      words({0, 1u << 29}),                                     // 4 GiB
      words({0, 4}) + random_bytes(rng, 32),                    // garbage root
      random_bytes(rng, 1 << 20),
      words({0, 2, 0, 0x00000001, 0xffffffff, 0x7fffffff}),  // pointers far outside
  };
  // A list of 2^29 - 1 empty structs in two words (amplification), and pointers nested 4,000 deep.
  lies.push_back(words({0, 2, 0x00000001, 0xffffffff, 0, 0}));
  std::string deep = words({0, 4001});
  for (int i = 0; i < 4001; ++i) deep += words({0, 0x00010000});
  lies.push_back(deep);
  for (const auto& lie : lies) {
    Tls client(centre.port, &credentials);
    client.send(lie);
    CHECK(client.closed_by_peer());  // at once, or when no hello came in time
  }
  CHECK(centre.seen.count("hello") == 0);
  CHECK(centre.serves());
  CHECK(centre.log.count("robot/liar before hello") <= 1);
}

TEST_CASE("network/tls: connections beyond the caps are turned away, and robots are served as soon as there is room") {
  Limits limits = quick_limits();
  limits.greetings_per_address_max = 20;
  limits.greetings_max = 20;
  Centre centre(limits);
  std::vector<Raw> idle;
  for (int i = 0; i < 1'000; ++i) {
    idle.emplace_back(centre.port);
    if (!idle.back().connected() || idle.size() > 200) idle.pop_back();  // keep our own descriptors few
  }
  CHECK(centre.log.wait_for("at=cap"));
  CHECK(centre.log.count("at=cap") == 1);
  CHECK(centre.serves());  // retries until the idle ones ran into their deadline
}

TEST_CASE("network/tls: running out of descriptors pauses accepting and does not end it") {
  Centre centre;
  CHECK(centre.serves("before"));
  rlimit old{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &old) == 0);
  std::vector<int> hoard;
  Raw waiting(centre.port);  // made while there is room; the centre may or may not have accepted it
  rlimit low{64, old.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &low) == 0);
  std::vector<int> sockets;
  for (int i = 0; i < 4; ++i) sockets.push_back(::socket(AF_INET, SOCK_STREAM, 0));
  for (int fd = ::dup(0); fd >= 0; fd = ::dup(0)) hoard.push_back(fd);
  for (const int fd : sockets) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(centre.port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    static_cast<void>(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address));
  }
  CHECK(centre.log.wait_for("accept failed"));
  for (const int fd : hoard) ::close(fd);
  ::setrlimit(RLIMIT_NOFILE, &old);
  CHECK(centre.serves("after"));
  for (const int fd : sockets) ::close(fd);
}

TEST_CASE("network/thread: who asks while the network stops gets an answer") {
  struct Config : caf::actor_system_config {
    Config() { set("scheduler.policy", caf::atom("sharing")); }
  } config;
  caf::actor_system system{config};
  runtime::EnvironmentOptions options;
  options.log = [](runtime::LogLevel, std::string_view) {};
  runtime::Environment env{system, options};
  for (int round = 0; round < 100; ++round) {
    NetworkThread net(env);
    std::atomic<int> asking = 0;
    std::vector<std::thread> askers;
    for (int i = 0; i < 4; ++i) {
      askers.emplace_back([&] {
        ++asking;
        while (net.listen({}).error().code != Errc::unavailable) continue;  // the options are refused while it runs
      });
    }
    while (asking < 4) std::this_thread::yield();
    net.stop();
    for (auto& asker : askers) asker.join();  // hangs for ever if a question is lost
  }
}

}  // namespace drover::test
