#include "stress/real/probe.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <chrono>
#include <mutex>
#include <thread>

#include "actors/network/network_thread.hpp"
#include "actors/network/uplink_messages.hpp"
#include "messages/episode.hpp"
#include "messages/record.hpp"

namespace drover::real {
namespace {
struct SendNext {};
}  // namespace
}  // namespace drover::real

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::real::SendNext)

namespace drover::real {
namespace {

using namespace network;
using Clock = std::chrono::steady_clock;

// What the actor tells the caller.
struct Shared {
  std::mutex mutex;
  ProbeResult result;
  bool up = false;
  std::string trouble;
  Clock::time_point began = Clock::now();
  double now_s() const { return std::chrono::duration<double>(Clock::now() - began).count(); }
};

struct Sender {
  ProbeOptions options;
  Shared* shared = nullptr;
  caf::actor uplink;
  uint64_t next_seq = 1;

  Bytes next_block() {
    BlockBuilder builder(next_seq);
    const Event event{5, "probe", "info", "link", std::string(300, 'x')};
    const Bytes payload = encode(event);
    while (builder.size_bytes() + payload.size() + 100 < options.block_bytes)
      if (!builder.add(RecordKind::event, 1, 5, payload)) break;
    next_seq = builder.next_seq();
    return builder.finish();
  }
};

void send_one(caf::event_based_actor* self, const std::shared_ptr<Sender>& sender) {
  const Bytes block = sender->next_block();
  const auto began = Clock::now();
  self->request(sender->uplink, caf::infinite, SendBlock{block})
      .then([self, sender, began, size = block.size()](AppendReply& reply) {
        Shared& shared = *sender->shared;
        {
          std::lock_guard lock(shared.mutex);
          if (!reply || reply->status != AckStatus::ok) {
            shared.trouble = reply ? reply->message : reply.error().message();
            return;
          }
          ++shared.result.blocks;
          shared.result.bytes += size;
          shared.result.acks_at_s.push_back(shared.now_s());
          shared.result.acks_ms.push_back(std::chrono::duration<double, std::milli>(Clock::now() - began).count());
        }
        if (sender->options.pause_ms == 0) return send_one(self, sender);
        self->delayed_send(self, std::chrono::milliseconds(sender->options.pause_ms), SendNext{});
      });
}

caf::behavior probing(caf::event_based_actor* self, const std::shared_ptr<Sender>& sender) {
  return {[self, sender](caf::actor& uplink) {
            sender->uplink = uplink;
            self->send(uplink, WatchLink{});
          },
          [](const PrepareHello&) {
            return HelloFacts{1, 1, uint64_t{1} << 40, 0};
          },
          [self, sender](const LinkUp&) {
            {
              std::lock_guard lock(sender->shared->mutex);
              if (sender->shared->up) return;
              sender->shared->up = true;
            }
            for (uint32_t i = 0; i < sender->options.blocks_waiting; ++i) send_one(self, sender);
          },
          [sender](const LinkDown& down) {
            std::lock_guard lock(sender->shared->mutex);
            if (sender->shared->up) sender->shared->trouble = down.reason.message();
          },
          [self, sender](const SendNext&) { send_one(self, sender); },
          [sender](const LinkPong& pong) {
            std::lock_guard lock(sender->shared->mutex);
            sender->shared->result.heartbeats_at_s.push_back(sender->shared->now_s());
            sender->shared->result.heartbeats_ms.push_back(static_cast<double>(pong.round_trip_us) / 1e3);
          }};
}

Dial dial_of(const ProbeOptions& options) {
  Dial dial;
  dial.address = "127.0.0.1:" + std::to_string(options.port);
  dial.server_name = "centre";
  dial.credentials = options.credentials;
  dial.self = {Role::robot, options.id};
  dial.limits.ping_period_ms = 20;
  dial.limits.write_queue_bytes = 16 << 10;
  dial.limits.send_buffer_bytes = 32 << 10;
  return dial;
}

}  // namespace

Result<ProbeResult> probe(const ProbeOptions& options) {
  caf::actor_system_config config;
  config.set("scheduler.max-threads", size_t{1});
  caf::actor_system system(config);
  runtime::EnvironmentOptions environment;
  environment.clock = std::make_shared<runtime::SystemClock>();
  environment.log = [](runtime::LogLevel, std::string_view) {};
  runtime::Environment env(system, environment);
  NetworkThread network(env);
  Shared shared;
  const auto sender = std::make_shared<Sender>(Sender{options, &shared, {}, 1});
  auto actor = env.spawn(probing, sender);
  DROVER_ASSIGN(const auto uplink, network.dial(dial_of(options)));
  caf::anon_send(actor, uplink);
  const auto began = Clock::now();
  const auto end = began + std::chrono::milliseconds(options.duration_ms);
  while (Clock::now() < end && (options.stop == nullptr || !*options.stop))
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  network.stop();
  sender->uplink = nullptr;
  caf::anon_send_exit(actor, caf::exit_reason::kill);
  actor = nullptr;
  system.await_all_actors_done();
  if (!shared.up) return fail(Errc::unavailable, options.id, "no session within the time");
  if (!shared.trouble.empty() && shared.result.blocks == 0) return fail(Errc::unavailable, options.id, shared.trouble);
  shared.result.seconds = std::chrono::duration<double>(Clock::now() - began).count();
  return shared.result;
}

}  // namespace drover::real
