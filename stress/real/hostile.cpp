#include "stress/real/hostile.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <memory>
#include <thread>

#include "actors/runtime/rng.hpp"

namespace drover::real {
namespace {

using Clock = std::chrono::steady_clock;
using runtime::Rng;

// A blocking TCP connection to the coordinator whose reads and writes give up after a moment.
class Wire {
 public:
  explicit Wire(uint16_t port, int timeout_ms = 2000) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    const timeval limit{timeout_ms / 1000, timeout_ms % 1000 * 1000};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    open_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~Wire() { close(fd_); }
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;
  int fd() const { return fd_; }
  bool open() const { return open_; }
  void say(std::string_view bytes) const { (void)::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  // Reads until the other side closes or a moment has passed.
  void listen() const {
    std::array<char, 4096> buffer;
    while (recv(fd_, buffer.data(), buffer.size(), 0) > 0) continue;
  }

 private:
  int fd_;
  bool open_ = false;
};

struct FreeContext {
  void operator()(SSL_CTX* p) const { SSL_CTX_free(p); }
};
struct FreeSsl {
  void operator()(SSL* p) const { SSL_free(p); }
};
struct FreeBio {
  void operator()(BIO* p) const { BIO_free(p); }
};

// A TLS client that believes everybody.
class Tls {
 public:
  Tls(const Wire& wire, const network::Credentials* credentials) : context_(SSL_CTX_new(TLS_client_method())) {
    SSL_CTX_set_verify(context_.get(), SSL_VERIFY_NONE, nullptr);
    if (credentials != nullptr && !credentials->certificate_pem.empty()) use(*credentials);
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_fd(ssl_.get(), wire.fd());
    shaken_ = SSL_connect(ssl_.get()) == 1;
  }
  ~Tls() { ERR_clear_error(); }
  bool shaken() const { return shaken_; }
  void say(std::string_view bytes) const { (void)SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())); }
  // True: the other side ended the connection within the timeout of the wire.
  bool ended() const {
    std::array<char, 4096> buffer;
    for (;;) {
      errno = 0;
      const int n = SSL_read(ssl_.get(), buffer.data(), static_cast<int>(buffer.size()));
      if (n > 0) continue;
      const int why = SSL_get_error(ssl_.get(), n);
      return !(why == SSL_ERROR_WANT_READ || (why == SSL_ERROR_SYSCALL && (errno == EAGAIN || errno == EWOULDBLOCK)));
    }
  }

 private:
  void use(const network::Credentials& credentials) const {
    const auto bio = [](const std::string& text) {
      return std::unique_ptr<BIO, FreeBio>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
    };
    X509* certificate = PEM_read_bio_X509(bio(credentials.certificate_pem).get(), nullptr, nullptr, nullptr);
    EVP_PKEY* key = PEM_read_bio_PrivateKey(bio(credentials.private_key_pem).get(), nullptr, nullptr, nullptr);
    SSL_CTX_use_certificate(context_.get(), certificate);
    SSL_CTX_use_PrivateKey(context_.get(), key);
    X509_free(certificate);
    EVP_PKEY_free(key);
  }

  std::unique_ptr<SSL_CTX, FreeContext> context_;
  std::unique_ptr<SSL, FreeSsl> ssl_;
  bool shaken_ = false;
};

std::string random_bytes(Rng& rng, size_t size) {
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(rng.next());
  return bytes;
}

std::string little(uint32_t value) {
  std::string out;
  for (int shift = 0; shift < 32; shift += 8) out.push_back(static_cast<char>(value >> shift));
  return out;
}

// ---- attacks

void say_random(uint16_t port, Rng& rng) {
  const Wire wire(port);
  wire.say(random_bytes(rng, 64 << 10));
  wire.listen();
}

void say_http(uint16_t port, Rng&) {
  const Wire wire(port);
  wire.say("GET / HTTP/1.1\r\nHost: centre\r\nContent-Length: 99999999999\r\n\r\n");
  wire.listen();
}

// The first bytes of a hello, one at a time, and then silence.
void shake_slowly(uint16_t port, Rng& rng) {
  const Wire wire(port);
  for (const char c : {'\x16', '\x03', '\x01', '\x02', '\x00', '\x01'}) {
    wire.say(std::string_view(&c, 1));
    std::this_thread::sleep_for(std::chrono::milliseconds(50 + rng.below(100)));
  }
  wire.listen();
}

void lie_in_tls_length(uint16_t port, Rng& rng) {
  const Wire wire(port);
  wire.say(std::string("\x16\x03\x01\xff\xff\x01\xff\xff\xff", 9) + random_bytes(rng, 1000));
  wire.listen();
}

void many_connections(uint16_t port, Rng&) {
  std::vector<std::unique_ptr<Wire>> wires;
  for (int i = 0; i < 200; ++i) wires.push_back(std::make_unique<Wire>(port, 100));
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
}

}  // namespace

Result<HostilePeers> HostilePeers::create(const std::string& pki, int64_t now_unix_s) {
  HostilePeers peers;
  const auto request = [&](const char* id, int64_t from_unix_s, uint32_t days) {
    return network::CertificateRequest{{network::Role::robot, id}, {}, from_unix_s, days};
  };
  constexpr int64_t day_s = 86'400;
  DROVER_ASSIGN(const auto authority, network::load_authority(pki));
  DROVER_ASSIGN(const auto stranger, network::create_authority("stranger", now_unix_s - day_s, 10));
  DROVER_ASSIGN(peers.good_, network::issue_certificate(authority, request("sly", now_unix_s - 60, 2)));
  DROVER_ASSIGN(auto expired, network::issue_certificate(authority, request("robot-1", now_unix_s - 3 * day_s, 2)));
  DROVER_ASSIGN(auto early, network::issue_certificate(authority, request("robot-1", now_unix_s + day_s, 2)));
  DROVER_ASSIGN(auto foreign, network::issue_certificate(stranger, request("robot-1", now_unix_s - 60, 2)));
  peers.bad_ = {{"expired certificate", std::move(expired)},
                {"certificate of tomorrow", std::move(early)},
                {"certificate of a stranger", std::move(foreign)},
                {"no certificate", {}}};
  return peers;
}

std::string HostilePeers::garbage(uint16_t port, uint64_t draw) const {
  Rng rng(draw);
  struct Attack {
    const char* name;
    void (*run)(uint16_t, Rng&);
  };
  static constexpr std::array<Attack, 5> plain = {{{"random bytes", say_random},
                                                   {"HTTP", say_http},
                                                   {"slow handshake", shake_slowly},
                                                   {"lying TLS length", lie_in_tls_length},
                                                   {"200 connections", many_connections}}};
  const uint64_t which = rng.below(plain.size() + 4);
  if (which < plain.size()) {
    plain[which].run(port, rng);
    return plain[which].name;
  }
  const Wire wire(port);
  const Tls tls(wire, &good_);
  switch (which - plain.size()) {
    case 0:  // one segment of 16 GiB
      tls.say(little(0) + little(0x7FFFFFFF) + random_bytes(rng, 4096));
      (void)tls.ended();
      return "lying segment size";
    case 1:  // more segments than there is memory for
      tls.say(little(0xFFFFFFFE) + random_bytes(rng, 4096));
      (void)tls.ended();
      return "lying segment count";
    case 2:
      tls.say(random_bytes(rng, 256 << 10));
      (void)tls.ended();
      return "random bytes in TLS";
    default:  // a good certificate and no word
      (void)tls.ended();
      return "silence after the handshake";
  }
}

Result<std::string> HostilePeers::bad_certificate(uint16_t port, uint64_t draw) const {
  const Bad& bad = bad_[draw % bad_.size()];
  const Wire wire(port, 2000);
  if (!wire.open()) return bad.what + ", while nobody listened";
  const Tls tls(wire, &bad.credentials);
  // With TLS 1.3 a client is done before the server has looked; then the server must end it, and before the deadline
  // for a hello could have.
  if (!tls.shaken() || tls.ended()) return bad.what;
  return fail(Errc::refused, bad.what, "the coordinator went on with it");
}

}  // namespace drover::real
