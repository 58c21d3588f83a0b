#include "actors/network/network_thread.hpp"

#include <kj/async-io.h>
#include <kj/debug.h>
#include <signal.h>

#include <future>

namespace drover::network {

namespace {

// What KJ itself wants to say (it prints to stderr by default) becomes log events.
class LogCallback final : public kj::ExceptionCallback {
 public:
  explicit LogCallback(runtime::Environment& env) : env_(env) {}
  void logMessage(kj::LogSeverity severity, const char* file, int line, int, kj::String&& text) override {
    if (severity < kj::LogSeverity::WARNING) return;
    env_.log(runtime::LogLevel::warn,
             "network.kj at=" + runtime::log_value(std::string(file) + ":" + std::to_string(line)) +
                 " text=" + runtime::log_value(printable({text.begin(), text.size()}, 300)));
  }

 private:
  runtime::Environment& env_;
};

}  // namespace

NetworkThread::NetworkThread(runtime::Environment& env) {
  thread_ = std::thread([this, &env] { main(env); });
  run([](NetworkCore&) {});  // returns once the loop runs
}

void NetworkThread::main(runtime::Environment& env) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  LogCallback logs(env);
  auto io = kj::setupAsyncIo();
  auto stopping = kj::newPromiseAndFulfiller<void>();
  stop_now_ = [&stopping] { stopping.fulfiller->fulfill(); };
  {
    NetworkCore core(env, io.provider->getTimer(), io.provider->getNetwork(), inbox_);
    core_ = &core;
    auto pump = inbox_->pump().eagerlyEvaluate([&env](kj::Exception&& exception) {
      env.log(runtime::LogLevel::error,
              "network.pump_failed reason=" + runtime::log_value(exception.getDescription().cStr()));
      std::abort();  // the network would be deaf: let the service manager restart the node
    });
    stopping.promise.wait(io.waitScope);
    inbox_->close();
    core_ = nullptr;
  }
  io.waitScope.poll();  // calls that were being served are cancelled by the loop, and hold on to the timer until then
}

bool NetworkThread::run(const std::function<void(NetworkCore&)>& work) {
  auto done = std::make_shared<std::promise<void>>();
  auto finished = done->get_future();
  if (!inbox_->post([this, &work, done = std::move(done)] {
        work(*core_);
        done->set_value();
      }))
    return false;
  try {
    finished.get();
  } catch (const std::future_error&) {
    return false;  // stopped with the work still queued: the inbox dropped it, and the promise with it
  }
  return true;
}

Result<Listening> NetworkThread::listen(Listen options) {
  Result<Listening> result = fail(Errc::unavailable, "network", "has stopped");
  run([&](NetworkCore& core) { result = core.listen(options); });
  return result;
}

Result<caf::actor> NetworkThread::dial(Dial options) {
  Result<caf::actor> result = fail(Errc::unavailable, "network", "has stopped");
  run([&](NetworkCore& core) { result = core.dial(options); });
  return result;
}

void NetworkThread::stop() {
  if (!thread_.joinable()) return;
  inbox_->post([this] { stop_now_(); });
  thread_.join();
}

}  // namespace drover::network
