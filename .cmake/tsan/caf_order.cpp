// Tells the thread sanitizer what CAF's own library orders. Linked before libcaf_core in tsan builds only.
//
// Debian's libcaf_core is not instrumented, so the sanitizer does not see the atomics by which a message passes from
// sender to receiver and an object from its last holder to its destructor; it would report every message as a race.
// Hiding all reports with CAF in the stack would hide our races too, because every handler is called by CAF. So the
// functions of CAF where the order is made are replaced by ones that say it and call the original:
//   enqueue                     what the sender did before happens before ...
//   reactivate, mailbox_visitor ... what the receiver does with the message;
//   activate, reactivate        one run of an actor happens before its next, on whichever thread;
//   request_deletion            ... or before the message is thrown away unread;
//   deref, intrusive_ptr_release: the same as in CAF, compiled here, so that their atomics are seen.
// A race between two actors over memory that no message handed over is still reported.
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#include <caf/actor_control_block.hpp>
#include <caf/blocking_actor.hpp>
#include <caf/mailbox_element.hpp>
#include <caf/memory_managed.hpp>
#include <caf/ref_counted.hpp>
#include <caf/scheduled_actor.hpp>
#include <cstdio>
#include <cstdlib>

namespace {

// The function of that (mangled) name in libcaf_core.
template <class Function>
Function* original(const char* symbol) {
  void* found = dlsym(RTLD_NEXT, symbol);
  if (found == nullptr) {
    std::fprintf(stderr, "tsan: libcaf_core has no %s: adapt .cmake/tsan/caf_order.cpp to this CAF\n", symbol);
    std::abort();
  }
  return reinterpret_cast<Function*>(found);
}

void hand_over(void* receiver, const caf::mailbox_element_ptr& message) {
  __tsan_release(receiver);
  __tsan_release(const_cast<caf::memory_managed*>(static_cast<const caf::memory_managed*>(message.get())));
}

}  // namespace

namespace caf {

// ---- Messages

void scheduled_actor::enqueue(mailbox_element_ptr message, execution_unit* unit) {
  static auto* const call = original<void(scheduled_actor*, mailbox_element_ptr, execution_unit*)>(
      "_ZN3caf15scheduled_actor7enqueueESt10unique_ptrINS_15mailbox_elementENS_6detail8disposerEEPNS_14execution_"
      "unitE");
  hand_over(this, message);
  call(this, std::move(message), unit);
}

bool scheduled_actor::activate(execution_unit* unit) {
  static auto* const call =
      original<bool(scheduled_actor*, execution_unit*)>("_ZN3caf15scheduled_actor8activateEPNS_14execution_unitE");
  __tsan_acquire(this);
  const bool result = call(this, unit);
  __tsan_release(this);
  return result;
}

scheduled_actor::activation_result scheduled_actor::reactivate(mailbox_element& message) {
  static auto* const call = original<activation_result(scheduled_actor*, mailbox_element&)>(
      "_ZN3caf15scheduled_actor10reactivateERNS_15mailbox_elementE");
  __tsan_acquire(this);
  const activation_result result = call(this, message);
  __tsan_release(this);
  return result;
}

bool scheduled_actor::cleanup(error&& reason, execution_unit* unit) {
  static auto* const call = original<bool(scheduled_actor*, error&&, execution_unit*)>(
      "_ZN3caf15scheduled_actor7cleanupEONS_5errorEPNS_14execution_unitE");
  __tsan_acquire(this);
  return call(this, std::move(reason), unit);
}

void blocking_actor::enqueue(mailbox_element_ptr message, execution_unit* unit) {
  static auto* const call = original<void(blocking_actor*, mailbox_element_ptr, execution_unit*)>(
      "_ZN3caf14blocking_actor7enqueueESt10unique_ptrINS_15mailbox_elementENS_6detail8disposerEEPNS_14execution_unitE");
  hand_over(this, message);
  call(this, std::move(message), unit);
}

intrusive::task_result blocking_actor::mailbox_visitor::operator()(mailbox_element& message) {
  static auto* const call = original<intrusive::task_result(mailbox_visitor*, mailbox_element&)>(
      "_ZN3caf14blocking_actor15mailbox_visitorclERNS_15mailbox_elementE");
  __tsan_acquire(self);
  return call(this, message);
}

bool blocking_actor::cleanup(error&& reason, execution_unit* unit) {
  static auto* const call = original<bool(blocking_actor*, error&&, execution_unit*)>(
      "_ZN3caf14blocking_actor7cleanupEONS_5errorEPNS_14execution_unitE");
  __tsan_acquire(this);
  return call(this, std::move(reason), unit);
}

// A message that nobody took: the receiver was ending.
void memory_managed::request_deletion(bool) const noexcept {
  __tsan_acquire(const_cast<memory_managed*>(this));
  delete this;
}

// ---- Reference counts

void ref_counted::deref() const noexcept {
  if (unique()) {
    request_deletion(false);
  } else if (rc_.fetch_sub(1) == 1) {
    request_deletion(true);
  }
}

void intrusive_ptr_release_weak(actor_control_block* block) {
  if (block->weak_refs == 1 || block->weak_refs.fetch_sub(1) == 1) block->block_dtor(block);
}

void intrusive_ptr_release(actor_control_block* block) {
  if (block->strong_refs.fetch_sub(1) != 1) return;
  block->data_dtor(block->get());
  intrusive_ptr_release_weak(block);
}

}  // namespace caf
