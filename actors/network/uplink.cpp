#include "actors/network/uplink.hpp"

#include <kj/debug.h>

#include <algorithm>
#include <cstring>

#include "actors/network/rpc_util.hpp"
#include "messages/check.hpp"

namespace drover::network {

using runtime::log_value;
using runtime::LogLevel;

namespace {

// Room for a call whose body is one Data field, so that the message is one segment and the body is copied once.
capnp::MessageSize size_hint(uint64_t body_bytes) {
  return {body_bytes / sizeof(capnp::word) + 32, 0};
}

}  // namespace

// One connection and what runs over it.
struct Uplink::Link {
  Link(kj::Own<kj::AsyncIoStream> inner, const Limits& limits)
      : stream(kj::mv(inner)),
        net(stream, capnp::rpc::twoparty::Side::CLIENT, reader_options(limits)),
        rpc(capnp::makeRpcClient(net)) {
    auto breaking = kj::newPromiseAndFulfiller<void>();
    break_now = kj::mv(breaking.fulfiller);
    broken = kj::mv(breaking.promise);
  }
  MeteredStream stream;
  PeerName centre;
  capnp::TwoPartyVatNetwork net;
  capnp::RpcSystem<capnp::rpc::twoparty::VatId> rpc;
  schema::Session::Client session = nullptr;
  kj::Own<kj::PromiseFulfiller<void>> break_now;
  kj::Promise<void> broken = nullptr;
};

Uplink::Uplink(NetworkShared& shared, const Dial& options, Dialer dialer, caf::actor port, runtime::Rng rng)
    : shared_(shared),
      options_(options),
      dialer_(std::move(dialer)),
      port_(Port::of(port)),
      port_actor_(std::move(port)),
      subscriber_(options.subscriber),
      backoff_(options.limits.backoff_min_ms, options.limits.backoff_max_ms, rng),
      throttle_(options.limits.log_repeat_ms),
      tasks_(*this) {}

Uplink::~Uplink() noexcept(false) {
  const Error reason{Errc::unavailable, "uplink", "is being closed"};
  for (auto& bulk : bulk_) {
    if (std::holds_alternative<SendBlock>(bulk.what)) {
      bulk.reply.send(AppendReply(tl::unexpected(reason)));
    } else {
      bulk.reply.send(ChunkReply(tl::unexpected(reason)));
    }
  }
}

void Uplink::start() {
  tasks_.add(run());
}

void Uplink::taskFailed(kj::Exception&& exception) {
  shared_.log(LogLevel::warn, "network.uplink_task_failed reason=" + log_value(exception.getDescription().cStr()));
}

// ---- connecting

kj::Promise<void> Uplink::run() {
  return kj::evalNow([this] { return subscribed().then([this] { return attempt(); }); })
      .then(
          [] {
            return Error{Errc::unavailable, "uplink", "disconnected"};
          },
          [this](kj::Exception&& exception) { return error_of(exception); })
      .then([this](Error reason) {
        const uint32_t retry_ms = backoff_.next_ms();
        log_down(reason, retry_ms);
        down_facts_ = {reason, retry_ms};
        went_down(reason);
        port_.tell(subscriber_, down_facts_);
        return shared_.timer.afterDelay(retry_ms * kj::MILLISECONDS).then([this] { return run(); });
      });
}

kj::Promise<void> Uplink::subscribed() {
  if (subscriber_ || options_.self.role != Role::robot) return kj::READY_NOW;
  auto waiting = kj::newPromiseAndFulfiller<void>();
  on_subscribed_ = kj::mv(waiting.fulfiller);
  return kj::mv(waiting.promise);
}

kj::Promise<void> Uplink::attempt() {
  const auto& limits = options_.limits;
  shared_.env.metrics().counter("drover_network_dials_total", "Attempts to reach the coordinator").add();
  return shared_.timer.timeoutAfter(limits.handshake_timeout_ms * kj::MILLISECONDS, dialer_())
      .then([this](Connected connected) {
        if (connected.centre.role != Role::coordinator && connected.centre.role != Role::gateway)
          kj::throwFatalException(
              wire_exception({Errc::refused, connected.centre.text(), "is no coordinator or gateway"}));
        link_ = kj::heap<Link>(kj::mv(connected.stream), options_.limits);
        link_->centre = connected.centre;
        link_->stream.set_on_written([this] { pump_later(); });
        ++link_number_;
        return ask_facts();
      })
      .then([this](Result<HelloFacts>&& facts) {
        if (!facts) kj::throwFatalException(wire_exception(facts.error()));
        return shared_.timer.timeoutAfter(options_.limits.hello_timeout_ms * kj::MILLISECONDS, greet(*facts));
      })
      .then(
          [this] { return link_->net.onDisconnect().exclusiveJoin(kj::mv(link_->broken)).exclusiveJoin(ping_loop()); });
}

kj::Promise<Result<HelloFacts>> Uplink::ask_facts() {
  if (!subscriber_) return Result<HelloFacts>(HelloFacts{});
  return shared_.timer.timeoutAfter(options_.limits.hello_timeout_ms * kj::MILLISECONDS,
                                    port_.ask<HelloFacts>(subscriber_, PrepareHello{}));
}

kj::Promise<void> Uplink::greet(const HelloFacts& facts) {
  capnp::MallocMessageBuilder vat_message;
  auto vat = vat_message.initRoot<capnp::rpc::twoparty::VatId>();
  vat.setSide(capnp::rpc::twoparty::Side::SERVER);
  auto request = link_->rpc.bootstrap(vat).castAs<schema::Gate>().helloRequest();
  auto hello = request.initHello();
  auto node = hello.initNode();
  node.setNodeId(options_.self.node_id.c_str());
  node.setRole(static_cast<schema::Role>(options_.self.role));
  node.setSoftwareVersion(options_.software_version.c_str());
  node.setProtocolMin(protocol_min);
  node.setProtocolMax(protocol_max);
  hello.setIncarnation(facts.incarnation);
  hello.setFirstSeq(facts.first_seq);
  hello.setLastSeq(facts.last_seq);
  hello.setKnowledgeVersion(facts.knowledge_version);
  return request.send().then([this](capnp::Response<schema::Gate::HelloResults>&& results) {
    if (const Status status = welcomed(results); !status) kj::throwFatalException(wire_exception(status.error()));
  });
}

// Checks what the centre says about itself and tells the subscriber that the link is up.
Status Uplink::welcomed(schema::Gate::HelloResults::Reader results) {
  const auto welcome = results.getWelcome();
  const auto node = welcome.getNode();
  const PeerName said{static_cast<Role>(node.getRole()), text_of(node.getNodeId())};
  if (!(said == link_->centre))
    return fail(Errc::refused, "welcome.node",
                "says " + printable(said.text()) + " but the certificate says " + link_->centre.text());
  if (welcome.getProtocol() < protocol_min || welcome.getProtocol() > protocol_max)
    return fail(Errc::unsupported_version, "welcome.protocol", std::to_string(welcome.getProtocol()));
  const auto& limits = options_.limits;
  link_->session = results.getSession();
  up_facts_ = {said,
               welcome.getProtocol(),
               welcome.getSessionId(),
               welcome.getDurableSeq(),
               welcome.getKnowledgeVersion(),
               std::min(welcome.getWindowBytes(), limits.window_bytes),
               std::min(welcome.getMaxBlockBytes(), limits.block_bytes_max)};
  up_ = true;
  shared_.log(LogLevel::info,
              "network.link_up centre=" + said.text() + " session=" + std::to_string(up_facts_.session_id));
  port_.tell(subscriber_, up_facts_);
  return {};
}

kj::Promise<void> Uplink::ping_loop() {
  const auto& limits = options_.limits;
  return shared_.timer.afterDelay(limits.ping_period_ms * kj::MILLISECONDS)
      .then([this] {
        auto request = link_->session.pingRequest();
        auto status = request.initStatus();
        status.setJournalLastSeq(status_.journal_last_seq);
        status.setJournalAckedSeq(status_.journal_acked_seq);
        status.setStoreBytes(status_.store_bytes);
        status.setBlobBacklogBytes(status_.blob_backlog_bytes);
        status.setCaptureStopped(status_.capture_stopped);
        status.setAlarm(status_.alarm.c_str());
        const int64_t sent_ns = shared_.env.clock().steady_ns();
        kj::Promise<capnp::Response<schema::Session::PingResults>> answer = request.send();
        return shared_.timer.timeoutAfter(options_.limits.ping_timeout_ms * kj::MILLISECONDS, kj::mv(answer))
            .then([this, sent_ns](capnp::Response<schema::Session::PingResults>&& results) {
              const auto pong = results.getPong();
              backoff_.reset();
              port_.tell(subscriber_, LinkPong{{pong.getDurableSeq(), pong.getKnowledgeVersion(),
                                                pong.getChunksWanted(), pong.getTimeUnixNs(), pong.getAppliedSeq()},
                                               (shared_.env.clock().steady_ns() - sent_ns) / 1000});
            });
      })
      .then([this] { return ping_loop(); });
}

void Uplink::went_down(const Error& reason) {
  up_ = false;
  link_ = nullptr;  // every outstanding call fails with "disconnected" and is answered from its own promise
  auto waiting = std::move(bulk_);
  bulk_.clear();
  queued_bytes_ = 0;
  for (auto& bulk : waiting) {
    if (std::holds_alternative<SendBlock>(bulk.what)) {
      bulk.reply.send(AppendReply(tl::unexpected(reason)));
    } else {
      bulk.reply.send(ChunkReply(tl::unexpected(reason)));
    }
  }
}

Error Uplink::error_of(const kj::Exception& exception) const {
  const std::string_view text{exception.getDescription().begin(), exception.getDescription().size()};
  switch (exception.getType()) {
    case kj::Exception::Type::DISCONNECTED:
      return from_wire(text, Errc::unavailable, "uplink");
    case kj::Exception::Type::OVERLOADED:  // our own timeoutAfter, unless the centre says otherwise
      return from_wire(text, Errc::timeout, "uplink");
    default:
      return from_wire(text, Errc::refused, "uplink");
  }
}

void Uplink::log_down(const Error& reason, uint32_t retry_ms) {
  const auto silent = throttle_.should_log(reason.message(), shared_.now_ms());
  if (!silent) return;
  shared_.log(LogLevel::warn, "network.link_down centre=" + log_value(options_.server_name) + " reason=" +
                                  log_value(reason.message()) + " retry_in_ms=" + std::to_string(retry_ms) +
                                  (*silent > 0 ? " repeated=" + std::to_string(*silent) : std::string()));
}

// ---- requests of actors

void Uplink::tell_subscriber_state() {
  if (up_) {
    port_.tell(subscriber_, up_facts_);
  } else {
    port_.tell(subscriber_, down_facts_);
  }
}

template <class Reply, class Request, class Read>
void Uplink::call(Request request, ReplyTo reply, uint64_t bulk_bytes, Read read) {
  const uint64_t number = link_number_;
  in_flight_bytes_ += bulk_bytes;
  auto answer = request.send().then([read](auto&& results) -> Result<Reply> { return read(results); });
  tasks_.add(shared_.timer.timeoutAfter(options_.limits.call_timeout_ms * kj::MILLISECONDS, kj::mv(answer))
                 .catch_([this, number](kj::Exception&& exception) -> Result<Reply> {
                   const bool lost = exception.getType() == kj::Exception::Type::DISCONNECTED;
                   if (lost && number == link_number_ && link_.get() != nullptr) link_->break_now->fulfill();
                   return tl::unexpected(error_of(exception));
                 })
                 .then([this, reply, bulk_bytes](Result<Reply>&& result) {
                   in_flight_bytes_ -= bulk_bytes;
                   reply.send(std::move(result));
                   pump_bulk();
                 }));
}

void Uplink::handle(caf::mailbox_element& element) {
  auto& message = element.content();
  const ReplyTo reply(element);
  if (message.match_elements<WatchLink>()) {
    subscriber_ = caf::actor_cast<caf::actor>(element.sender);
    if (on_subscribed_.get() != nullptr) kj::mv(on_subscribed_)->fulfill();
    return tell_subscriber_state();
  }
  if (message.match_elements<SetStatus>()) {
    status_ = message.get_as<SetStatus>(0).status;
    return;
  }
  if (message.match_elements<CutLink>()) {
    if (link_.get() != nullptr) link_->break_now->fulfill();
    return;
  }
  if (message.match_elements<SendBlock>()) {
    const auto& send = message.get_as<SendBlock>(0);
    return enqueue_bulk({send, reply, send.block.size()});
  }
  if (message.match_elements<SendChunk>()) {
    const auto& send = message.get_as<SendChunk>(0);
    return enqueue_bulk({send, reply, send.bytes.size()});
  }
  const auto down = [&] {
    return tl::unexpected(Error{Errc::unavailable, "uplink", "the link is down: " + down_facts_.reason.what});
  };
  if (message.match_elements<FetchWants>()) {
    if (!up_) return reply.send(WantsReply(down()));
    auto request = link_->session.wantsRequest();
    request.setBudgetBytes(message.get_as<FetchWants>(0).budget_bytes);
    request.setMaxItems(message.get_as<FetchWants>(0).max_items);
    return call<ChunkWants>(kj::mv(request), reply, 0, [](auto& results) -> WantsReply {
      ChunkWants wants;
      for (const auto want : results.getWants()) {
        ChunkWant item{{}, want.getOffset(), want.getSizeBytes()};
        if (want.getHash().size() != item.hash.size()) return fail(Errc::corrupt, "wants.hash", "must have 32 bytes");
        std::memcpy(item.hash.data(), want.getHash().begin(), item.hash.size());
        wants.items.push_back(item);
      }
      return wants;
    });
  }
  if (message.match_elements<FetchKnowledge>()) {
    if (!up_) return reply.send(KnowledgeReply(down()));
    auto request = link_->session.knowledgeRequest();
    request.setHave(message.get_as<FetchKnowledge>(0).have);
    return call<KnowledgeUpdate>(kj::mv(request), reply, 0, [](auto& results) -> KnowledgeReply {
      return KnowledgeUpdate{results.getUpdate().getVersion(), bytes_of(results.getUpdate().getSnapshot())};
    });
  }
  if (message.match_elements<SendQuery>()) {
    if (!up_) return reply.send(QueryAnswer(down()));
    const auto& text = message.get_as<SendQuery>(0).request;
    auto request = link_->session.queryRequest(size_hint(text.size()));
    request.setRequest(to_text(text));
    return call<QueryReply>(kj::mv(request), reply, 0,
                            [](auto& results) -> QueryAnswer { return QueryReply{text_of(results.getReply())}; });
  }
  reply.send(caf::error(caf::sec::unexpected_message));
}

// ---- bulk

void Uplink::enqueue_bulk(Bulk bulk) {
  const auto refuse = [&](Errc code, std::string what) {
    Error error{code, "uplink", std::move(what)};
    if (std::holds_alternative<SendBlock>(bulk.what)) {
      bulk.reply.send(AppendReply(tl::unexpected(std::move(error))));
    } else {
      bulk.reply.send(ChunkReply(tl::unexpected(std::move(error))));
    }
  };
  if (!up_) return refuse(Errc::unavailable, "the link is down: " + down_facts_.reason.what);
  if (bulk.bytes > up_facts_.max_block_bytes)
    return refuse(Errc::too_large, std::to_string(bulk.bytes) + " bytes, the centre accepts " +
                                       std::to_string(up_facts_.max_block_bytes));
  if (queued_bytes_ + bulk.bytes > options_.limits.bulk_queue_bytes)
    return refuse(Errc::overloaded, "the bulk queue is full (bulk_queue_bytes)");
  queued_bytes_ += bulk.bytes;
  bulk_.push_back(std::move(bulk));
  pump_bulk();
}

void Uplink::pump_later() {
  if (pump_scheduled_ || bulk_.empty()) return;
  pump_scheduled_ = true;
  tasks_.add(kj::evalLast([this] {
    pump_scheduled_ = false;
    pump_bulk();
  }));
}

// Sends what the window and the write queue have room for. Runs after each answer and after each finished write.
void Uplink::pump_bulk() {
  while (up_ && !bulk_.empty()) {
    const uint64_t bytes = bulk_.front().bytes;
    if (in_flight_bytes_ > 0 && in_flight_bytes_ + bytes > up_facts_.window_bytes) return;
    if (link_->net.getCurrentQueueSize() > options_.limits.write_queue_bytes) return;
    Bulk bulk = std::move(bulk_.front());
    bulk_.pop_front();
    queued_bytes_ -= bytes;
    send_bulk(std::move(bulk));
  }
}

void Uplink::send_bulk(Bulk bulk) {
  if (const auto* block = std::get_if<SendBlock>(&bulk.what)) {
    auto request = link_->session.appendRequest(size_hint(bulk.bytes));
    request.setBlock(to_data(block->block));
    return call<AppendAck>(kj::mv(request), bulk.reply, bulk.bytes, [](auto& results) -> AppendReply {
      const auto ack = results.getAck();
      return AppendAck{ack.getDurableSeq(), static_cast<AckStatus>(ack.getStatus()), text_of(ack.getMessage())};
    });
  }
  const auto& chunk = std::get<SendChunk>(bulk.what);
  auto request = link_->session.chunkRequest(size_hint(bulk.bytes));
  request.setHash(to_data(chunk.hash));
  request.setOffset(chunk.offset);
  request.setSizeBytes(chunk.size_bytes);
  request.setBytes(to_data(chunk.bytes));
  call<ChunkAck>(kj::mv(request), bulk.reply, bulk.bytes, [](auto& results) -> ChunkReply {
    return ChunkAck{results.getDurableBytes(), results.getComplete()};
  });
}

}  // namespace drover::network
