#include "raw.hpp"

#include <fcntl.h>
#include <lmdb.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <thread>

#include "warm.hpp"

namespace drover::bench {

namespace {

void ok(bool condition, const char* what) {
  if (!condition) std::fprintf(stderr, "drover-bench: %s failed\n", what);
  DROVER_CHECK(condition, "a raw limit cannot be measured");
}

}  // namespace

// ---- certificates

network::AuthorityPem authority() {
  return must(network::create_authority("bench", ::time(nullptr) - 60, 2));
}

network::Credentials credentials(const network::AuthorityPem& authority, network::Role role, const std::string& id) {
  network::CertificateRequest request;
  request.name = network::PeerName{role, id};
  if (role == network::Role::coordinator) request.extra_names = {"localhost"};
  request.not_before_unix_s = ::time(nullptr) - 60;
  request.days = 1;
  return must(network::issue_certificate(authority, request));
}

// ---- disk

double raw_lmdb_seconds(const Settings& settings, const RawLoad& load) {
  warm_page_cache(fresh_folder(settings, "warm") / "pages", load.values * load.value_bytes);
  const auto folder = fresh_folder(settings, "raw-lmdb");
  const Bytes value = random_bytes(settings.seed, load.value_bytes);
  MDB_env* env = nullptr;
  MDB_dbi table = 0;
  ok(mdb_env_create(&env) == 0, "mdb_env_create");
  mdb_env_set_mapsize(env, size_t{64} << 30);
  ok(mdb_env_open(env, folder.c_str(), load.sync ? 0 : MDB_NOSYNC, 0644) == 0, "mdb_env_open");
  const auto began = Clock::now();
  uint64_t key = 0;
  while (key < load.values) {
    MDB_txn* txn = nullptr;
    ok(mdb_txn_begin(env, nullptr, 0, &txn) == 0 && mdb_dbi_open(txn, nullptr, 0, &table) == 0, "mdb_txn_begin");
    for (uint64_t i = 0; i < load.group_values && key < load.values; ++i) {
      const uint64_t big_endian = __builtin_bswap64(++key);
      MDB_val k{sizeof big_endian, const_cast<uint64_t*>(&big_endian)};
      MDB_val v{value.size(), const_cast<std::byte*>(value.data())};
      ok(mdb_put(txn, table, &k, &v, MDB_APPEND) == 0, "mdb_put");
    }
    ok(mdb_txn_commit(txn) == 0, "mdb_txn_commit");
  }
  const double seconds = seconds_since(began);
  mdb_env_close(env);
  std::filesystem::remove_all(folder);
  return seconds;
}

double raw_file_seconds(const Settings& settings, const RawLoad& load) {
  warm_page_cache(fresh_folder(settings, "warm") / "pages", load.values * load.value_bytes);
  const auto folder = fresh_folder(settings, "raw-file");
  const Bytes group = random_bytes(settings.seed, load.value_bytes * load.group_values);
  const int fd = ::open((folder / "log").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  ok(fd >= 0, "open");
  const auto began = Clock::now();
  for (uint64_t done = 0; done < load.values; done += load.group_values) {
    ok(::write(fd, group.data(), group.size()) == static_cast<ssize_t>(group.size()), "write");
    if (load.sync) ok(::fdatasync(fd) == 0, "fdatasync");
  }
  const double seconds = seconds_since(began);
  ::close(fd);
  std::filesystem::remove_all(folder);
  return seconds;
}

// ---- TLS

namespace {

struct TlsContext {
  explicit TlsContext(const network::Credentials& credentials) : value(SSL_CTX_new(TLS_method()), SSL_CTX_free) {
    X509* certificate = read_certificate(credentials.certificate_pem);
    BIO* bio =
        BIO_new_mem_buf(credentials.private_key_pem.data(), static_cast<int>(credentials.private_key_pem.size()));
    EVP_PKEY* key = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
    BIO_free(bio);
    X509* ca = read_certificate(credentials.ca_pem);
    ok(SSL_CTX_use_certificate(value.get(), certificate) == 1 && SSL_CTX_use_PrivateKey(value.get(), key) == 1 &&
           X509_STORE_add_cert(SSL_CTX_get_cert_store(value.get()), ca) == 1,
       "TLS credentials");
    X509_free(certificate);
    X509_free(ca);
    EVP_PKEY_free(key);
    SSL_CTX_set_verify(value.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  static X509* read_certificate(const std::string& pem) {
    BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
    X509* certificate = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
    BIO_free(bio);
    ok(certificate != nullptr, "reading a certificate");
    return certificate;
  }
  std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> value;
};

// Two connected TCP sockets on loopback.
std::pair<int, int> tcp_pair() {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* any = reinterpret_cast<sockaddr*>(&address);
  ok(::bind(listener, any, size) == 0 && ::listen(listener, 1) == 0 && ::getsockname(listener, any, &size) == 0,
     "listening on loopback");
  const int near = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ok(::connect(near, any, size) == 0, "connect");
  const int far = ::accept(listener, nullptr, nullptr);
  ok(far >= 0, "accept");
  ::close(listener);
  return {near, far};
}

void read_all(SSL_CTX* context, int fd, uint64_t bytes) {
  const std::unique_ptr<SSL, void (*)(SSL*)> tls(SSL_new(context), SSL_free);
  SSL_set_fd(tls.get(), fd);
  ok(SSL_accept(tls.get()) == 1, "SSL_accept");
  std::vector<char> buffer(1u << 20);
  while (bytes > 0) {
    size_t got = 0;
    ok(SSL_read_ex(tls.get(), buffer.data(), buffer.size(), &got) == 1, "SSL_read");
    bytes -= std::min<uint64_t>(bytes, got);
  }
  size_t sent = 0;
  ok(SSL_write_ex(tls.get(), "k", 1, &sent) == 1, "SSL_write");
  SSL_shutdown(tls.get());
  ::close(fd);
}

void write_all(SSL_CTX* context, int fd, uint64_t values, const Bytes& value) {
  const std::unique_ptr<SSL, void (*)(SSL*)> tls(SSL_new(context), SSL_free);
  SSL_set_fd(tls.get(), fd);
  ok(SSL_connect(tls.get()) == 1, "SSL_connect");
  for (uint64_t i = 0; i < values; ++i) {
    size_t sent = 0;
    ok(SSL_write_ex(tls.get(), value.data(), value.size(), &sent) == 1, "SSL_write");
  }
  char answer = 0;
  size_t got = 0;
  ok(SSL_read_ex(tls.get(), &answer, 1, &got) == 1, "SSL_read");
  ::close(fd);
}

}  // namespace

double raw_tls_seconds(size_t connections, uint64_t values_each, size_t value_bytes) {
  const auto pem = authority();
  const TlsContext server(credentials(pem, network::Role::coordinator, "centre"));
  const TlsContext client(credentials(pem, network::Role::robot, "robot"));
  const Bytes value = random_bytes(1, value_bytes);
  std::vector<std::thread> threads;
  const auto began = Clock::now();
  for (size_t i = 0; i < connections; ++i) {
    const auto [near, far] = tcp_pair();
    threads.emplace_back(
        [&server, far = far, bytes = values_each * value_bytes] { read_all(server.value.get(), far, bytes); });
    threads.emplace_back(
        [&client, near = near, values_each, &value] { write_all(client.value.get(), near, values_each, value); });
  }
  for (auto& thread : threads) thread.join();
  return seconds_since(began);
}

// ---- Redis

namespace {

constexpr int redis_port = 47631;

std::optional<std::string> output_of(const std::string& command) {
  FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return std::nullopt;
  std::string text;
  char buffer[4096];
  while (const size_t got = ::fread(buffer, 1, sizeof buffer, pipe)) text.append(buffer, got);
  if (::pclose(pipe) != 0) return std::nullopt;
  return text;
}

}  // namespace

std::optional<double> redis_rate(const Settings& settings, const RedisLoad& load) {
  if (!output_of("command -v redis-server redis-benchmark redis-cli 2>/dev/null")) return std::nullopt;
  const auto folder = fresh_folder(settings, "redis");
  const std::string port = std::to_string(redis_port);
  const pid_t server = ::fork();
  if (server == 0) {
    const int null = ::open("/dev/null", O_WRONLY);
    ::dup2(null, 1);
    ::execlp("redis-server", "redis-server", "--port", port.c_str(), "--bind", "127.0.0.1", "--dir", folder.c_str(),
             "--save", "", "--appendonly", "yes", "--appendfsync", load.sync ? "always" : "everysec",
             "--auto-aof-rewrite-percentage", "0", static_cast<char*>(nullptr));
    ::_exit(127);
  }
  const auto reap = [&] {
    ::kill(server, SIGKILL);
    ::waitpid(server, nullptr, 0);
    std::filesystem::remove_all(folder);
  };
  const auto began = Clock::now();
  while (!output_of("redis-cli -p " + port + " ping 2>/dev/null | grep -q PONG")) {
    if (seconds_since(began) > 10) return reap(), std::nullopt;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  const std::string value(load.value_bytes, 'x');
  const std::string common =
      "redis-benchmark -p " + port + " -c 3 -P 100 --csv -n " + std::to_string(load.requests) + " ";
  const auto text =
      output_of(load.stream ? common + "XADD s '*' f " + value : common + "-r 100000000 SET k:__rand_int__ " + value);
  reap();
  if (!text) return std::nullopt;
  // The last line: "XADD ...","rate",...
  const size_t end = text->find_last_not_of('\n');
  const size_t line = text->rfind('\n', end);
  const std::string last = text->substr(line == std::string::npos ? 0 : line + 1);
  const size_t field = last.find("\",\"");
  if (field == std::string::npos) return std::nullopt;
  return std::strtod(last.c_str() + field + 3, nullptr);
}

}  // namespace drover::bench
