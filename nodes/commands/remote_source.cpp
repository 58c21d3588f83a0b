// A coordinator as a source, over a session of an operator (see store_access.hpp).
#include <caf/scoped_actor.hpp>
#include <chrono>
#include <cstdio>

#include "actors/network/network_thread.hpp"
#include "actors/network/uplink_messages.hpp"
#include "nodes/commands/credentials.hpp"
#include "nodes/commands/daemon_runtime.hpp"
#include "nodes/commands/store_access.hpp"

namespace drover::nodes {
namespace {

using std::chrono::milliseconds;

runtime::EnvironmentOptions quiet_environment() {
  runtime::EnvironmentOptions options;
  options.seed = 1;  // nothing random happens here but pauses between dials, of which there is one
  options.log = [](runtime::LogLevel, std::string_view) {};
  return options;
}

class RemoteSource final : public Source {
 public:
  explicit RemoteSource(uint32_t timeout_ms)
      : timeout_(timeout_ms), system_(config_), env_(system_, quiet_environment()), network_(env_), self_(system_) {}
  ~RemoteSource() override { network_.stop(); }

  // Waits until the session stands, or says why the first attempt failed.
  Status connect(network::Dial dial) {
    const std::string address = dial.address;
    DROVER_ASSIGN(uplink_, network_.dial(std::move(dial)));
    self_->send(uplink_, network::WatchLink{});
    const auto deadline = std::chrono::steady_clock::now() + timeout_;
    std::optional<Status> outcome;
    while (!outcome) {
      const auto left = std::chrono::duration_cast<milliseconds>(deadline - std::chrono::steady_clock::now());
      if (left.count() <= 0) return fail(Errc::timeout, address, "no session within the time given (--timeout-ms)");
      self_->receive([](const network::PrepareHello&) { return network::HelloFacts{}; },
                     [&](const network::LinkUp&) { outcome = Status{}; },
                     [&](const network::LinkDown& down) {
                       // A pause of 0 means: not dialled yet.
                       if (down.retry_in_ms > 0) outcome = tl::unexpected(down.reason);
                     },
                     [](const network::LinkPong&) {}, caf::after(left) >> [] {});
    }
    return *outcome;
  }

  Result<std::string> ask(const Json& request) override {
    Result<std::string> answer = fail(Errc::timeout, "query", "no answer within the time given (--timeout-ms)");
    self_->request(uplink_, timeout_, network::SendQuery{request.dump(-1, ' ', false, Json::error_handler_t::replace)})
        .receive(
            [&](network::QueryAnswer& reply) {
              if (reply)
                answer = std::move(reply->reply);
              else
                answer = tl::unexpected(reply.error());
            },
            [](const caf::error&) {});
    return answer;
  }

 private:
  milliseconds timeout_;
  ActorConfig config_;
  caf::actor_system system_;
  runtime::Environment env_;
  network::NetworkThread network_;
  caf::scoped_actor self_;
  caf::actor uplink_;
};

std::string host_of(const std::string& address) {
  const std::string host = address.substr(0, address.rfind(':'));
  return host.size() >= 2 && host.front() == '[' ? host.substr(1, host.size() - 2) : host;
}

Result<TlsConfig> tls_files(const AccessOptions& options) {
  const auto file = [&](const std::string& given, const char* name) {
    return given.empty() && !options.pki.empty() ? options.pki + "/" + name : given;
  };
  TlsConfig tls;
  tls.ca_file = file(options.ca, "ca.pem");
  tls.cert_file = file(options.cert, "node.pem");
  tls.key_file = file(options.key, "node.key");
  if (tls.ca_file.empty() || tls.cert_file.empty() || tls.key_file.empty())
    return fail(Errc::invalid_argument, "--connect",
                "needs --pki DIR, or --ca, --cert and --key (drover enroll node --role operator --id NAME)");
  return tls;
}

}  // namespace

Result<std::unique_ptr<Source>> open_remote(const AccessOptions& options) {
  if (const std::string wrong = check_address(options.connect, false); !wrong.empty())
    return fail(Errc::invalid_argument, "--connect", wrong);
  DROVER_ASSIGN(const TlsConfig tls, tls_files(options));
  DROVER_ASSIGN(const std::string pem, read_config_text(tls.cert_file));
  DROVER_ASSIGN(const auto facts, network::describe_certificate(pem));
  network::Dial dial;
  DROVER_ASSIGN(dial.self, network::parse_common_name(facts.common_name));
  if (!network::may_call(dial.self.role, network::SessionCall::query))
    return fail(Errc::refused, tls.cert_file,
                "is the certificate of " + facts.common_name + ", which may not ask; use one of an operator");
  const runtime::SystemClock clock;
  DROVER_ASSIGN(dial.credentials, load_tls(tls, dial.self.role, dial.self.node_id, clock.unix_ns() / 1'000'000'000));
  dial.address = options.connect;
  dial.server_name = options.server_name.empty() ? host_of(options.connect) : options.server_name;
  dial.software_version = DROVER_VERSION;
  dial.limits.handshake_timeout_ms = std::min(options.timeout_ms, 60'000u);
  dial.limits.call_timeout_ms = options.timeout_ms;
  auto source = std::make_unique<RemoteSource>(options.timeout_ms);
  const std::string server_name = dial.server_name;
  if (const Status up = source->connect(std::move(dial)); !up) {
    Error error = up.error();
    if (options.server_name.empty() && error.code == Errc::refused)
      error.what +=
          "; the coordinator was expected to be named \"" + server_name + "\": give its node id as --server-name";
    return tl::unexpected(std::move(error));
  }
  return std::unique_ptr<Source>(std::move(source));
}

}  // namespace drover::nodes
