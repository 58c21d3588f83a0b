#include "actors/network/port.hpp"

#include <caf/actor_system.hpp>
#include <caf/exit_reason.hpp>
#include <caf/make_actor.hpp>
#include <caf/sec.hpp>

namespace drover::network {

namespace {

void refuse(const caf::mailbox_element& message) {
  ReplyTo(message).send(caf::error(caf::sec::request_receiver_down));
}

constexpr size_t batch_before_io = 64;

}  // namespace

// ---- Inbox

bool Inbox::post(InboxItem& item) {
  kj::Own<kj::CrossThreadPromiseFulfiller<void>> wake;
  {
    std::lock_guard lock(mutex_);
    if (closed_) return false;
    items_.push_back(std::move(item));
    wake = kj::mv(wake_);
    wake_ = nullptr;
  }
  if (wake.get() != nullptr) wake->fulfill();
  return true;
}

bool Inbox::post(std::function<void()> work) {
  InboxItem item{nullptr, nullptr, std::move(work)};
  return post(item);
}

std::vector<InboxItem> Inbox::take() {
  std::vector<InboxItem> batch;
  std::lock_guard lock(mutex_);
  batch.swap(items_);
  return batch;
}

void Inbox::handle(std::vector<InboxItem>& items) {
  for (auto& item : items) {
    if (item.work) {
      item.work();
    } else {
      Port::of(caf::actor_cast<caf::actor>(item.port)).dispatch(*item.message);
    }
  }
}

kj::Promise<void> Inbox::pump() {
  for (;;) {
    std::vector<InboxItem> batch;
    {
      std::lock_guard lock(mutex_);
      if (items_.empty()) {
        auto waiter = kj::newPromiseAndCrossThreadFulfiller<void>();
        wake_ = kj::mv(waiter.fulfiller);
        return waiter.promise.then([this] { return pump(); });
      }
      batch.swap(items_);
    }
    handle(batch);
    if (batch.size() > batch_before_io) return kj::evalLast([this] { return pump(); });
  }
}

bool Inbox::drain() {
  auto batch = take();
  handle(batch);
  return !batch.empty();
}

void Inbox::close() {
  std::vector<InboxItem> left;
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
    wake_ = nullptr;
    left.swap(items_);
  }
  for (auto& item : left)
    if (item.message) refuse(*item.message);
}

// ---- Port

// The receiving end of one request. Lives inside the promise: when that is dropped, the request is forgotten.
struct Port::Wait {
  Wait(kj::PromiseFulfiller<caf::message>& fulfiller, Port& port, uint64_t id)
      : fulfiller(fulfiller), port(port), id(id), keep(port.ctrl()) {
    port.pending_[id] = this;
  }
  ~Wait() { port.pending_.erase(id); }
  Wait(const Wait&) = delete;
  Wait& operator=(const Wait&) = delete;

  kj::PromiseFulfiller<caf::message>& fulfiller;
  Port& port;
  uint64_t id;
  caf::strong_actor_ptr keep;
};

caf::actor Port::make(caf::actor_system& system, std::shared_ptr<Inbox> inbox) {
  caf::actor_config config;
  return caf::make_actor<Port, caf::actor>(system.next_actor_id(), system.node(), &system, config, std::move(inbox));
}

Port::Port(caf::actor_config& config, std::shared_ptr<Inbox> inbox)
    : caf::monitorable_actor(config), inbox_(std::move(inbox)) {}

void Port::enqueue(caf::mailbox_element_ptr message, caf::execution_unit*) {
  InboxItem item{caf::strong_actor_ptr{ctrl()}, std::move(message), {}};
  if (!inbox_->post(item) && item.message) refuse(*item.message);
}

void Port::dispatch(caf::mailbox_element& message) {
  if (message.mid.is_response()) {
    const auto found = pending_.find(message.mid.request_id().integer_value());
    if (found == pending_.end()) return;  // answered too late
    Wait* wait = found->second;
    pending_.erase(found);
    wait->fulfiller.fulfill(message.move_content_to_message());
    return;
  }
  if (handler_) {
    handler_(message);
  } else {
    refuse(message);
  }
}

void Port::end(caf::error reason) {
  handler_ = nullptr;
  cleanup(std::move(reason), nullptr);
}

kj::Promise<caf::message> Port::start_request() {
  ++last_request_;
  return kj::newAdaptedPromise<caf::message, Wait>(*this, last_request_.request_id().integer_value());
}

Error Port::reply_error(const caf::message& reply) {
  if (reply.match_elements<Error>()) return reply.get_as<Error>(0);
  if (reply.match_elements<caf::error>())
    return {Errc::unavailable, "handler", "did not answer: " + caf::to_string(reply.get_as<caf::error>(0))};
  return {Errc::internal, "handler", "answered with another type: " + caf::to_string(reply)};
}

}  // namespace drover::network
