// OpenMetrics exposition: exact text, bounds, concurrent updates.
#include <doctest/doctest.h>

#include <cmath>
#include <thread>

#include "actors/runtime/metrics.hpp"

using namespace drover::runtime;

TEST_CASE("runtime/metrics: exposition is exactly this text") {
  Metrics metrics;
  metrics.counter("drover_acks_total", "Records acknowledged", {{"robot", "r-2"}}).add(3);
  metrics.counter("drover_acks_total", "Records acknowledged", {{"robot", "r-1"}}).add();
  metrics.gauge("drover_outbox_bytes", "Bytes waiting").set(1536.5);
  Histogram& histogram = metrics.histogram("drover_sync_seconds", "Commit \"time\"\nper group", {0.001, 0.01},
                                           {{"path", "a\\b\"c\nd"}, {"lane", "x"}});
  for (const double value : {0.0005, 0.001, 0.005, 3.0, std::nan("")}) histogram.observe(value);
  CHECK(metrics.expose() ==
        "# TYPE drover_acks counter\n"
        "# HELP drover_acks Records acknowledged\n"
        "drover_acks_total{robot=\"r-1\"} 1\n"
        "drover_acks_total{robot=\"r-2\"} 3\n"
        "# TYPE drover_outbox_bytes gauge\n"
        "# HELP drover_outbox_bytes Bytes waiting\n"
        "drover_outbox_bytes 1536.5\n"
        "# TYPE drover_sync_seconds histogram\n"
        "# HELP drover_sync_seconds Commit \\\"time\\\"\\nper group\n"
        "drover_sync_seconds_bucket{lane=\"x\",path=\"a\\\\b\\\"c\\nd\",le=\"0.001\"} 2\n"
        "drover_sync_seconds_bucket{lane=\"x\",path=\"a\\\\b\\\"c\\nd\",le=\"0.01\"} 3\n"
        "drover_sync_seconds_bucket{lane=\"x\",path=\"a\\\\b\\\"c\\nd\",le=\"+Inf\"} 4\n"
        "drover_sync_seconds_count{lane=\"x\",path=\"a\\\\b\\\"c\\nd\"} 4\n"
        "drover_sync_seconds_sum{lane=\"x\",path=\"a\\\\b\\\"c\\nd\"} 3.0065\n"
        "# EOF\n");
}

TEST_CASE("runtime/metrics: series are bounded and the refusals counted") {
  Metrics metrics(3);
  for (int i = 0; i < 10; ++i) metrics.counter("drover_x_total", "", {{"i", std::to_string(i)}}).add();
  CHECK(&metrics.counter("drover_x_total", "", {{"i", "0"}}) == &metrics.counter("drover_x", "", {{"i", "0"}}));
  CHECK(metrics.expose() ==
        "# TYPE drover_x counter\n"
        "drover_x_total{i=\"0\"} 1\ndrover_x_total{i=\"1\"} 1\ndrover_x_total{i=\"2\"} 1\n"
        "# TYPE drover_metrics_series_refused counter\n"
        "drover_metrics_series_refused_total 7\n# EOF\n");
}

TEST_CASE("runtime/metrics: concurrent updates and exposition lose nothing") {
  Metrics metrics;
  Counter& counter = metrics.counter("drover_c_total", "");
  Histogram& histogram = metrics.histogram("drover_h", "", {1.0});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10'000; ++i) {
        counter.add();
        histogram.observe(t);
        if (i % 1'000 == 0) {
          metrics.gauge("drover_g", "", {{"t", std::to_string(t)}}).add(1);
          (void)metrics.expose();
        }
      }
    });
  for (auto& thread : threads) thread.join();
  CHECK(counter.value() == 40'000);
  CHECK(histogram.count() == 40'000);
  CHECK(metrics.gauge("drover_g", "", {{"t", "3"}}).value() == 10.0);
}
