#include "actors/econ/posting.hpp"

#include <algorithm>
#include <cctype>
#include <cstdio>

#include "actors/econ/reconcile.hpp"
#include "messages/buggify.hpp"

namespace drover::econ {
namespace {

using storage::Posting;

constexpr size_t name_max_bytes = 100;

std::string account_name(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_' || c == '@' || c == '-';
    if (plain)
      out.push_back(c);
    else
      out.append(":").append(to_hex(as_bytes(std::string_view(&c, 1))));
  }
  if (out.size() > name_max_bytes) {
    const std::string hash = to_hex(sha256(as_bytes(text))).substr(0, 16);
    out.resize(name_max_bytes - hash.size() - 1);
    out.append(":").append(hash);
  }
  return out;
}

// Money from the customer to the pool; negative: back.
struct Movement {
  int64_t time_unix_ns = 0;
  std::string kind;
  std::string reference;
  std::string memo;
  std::string customer;
  MicroUsd to_pool = 0;
};

Posting posting_of(const Movement& m, const std::string& currency) {
  const bool too_much = m.kind == "true_up" && buggify::bug(buggify::Bug::true_up_unbalanced);
  return storage::normalised({m.time_unix_ns,
                              m.kind,
                              m.reference,
                              m.memo,
                              {{customer_account(m.customer), currency, -m.to_pool},
                               {std::string(pool_account), currency, too_much ? m.to_pool + 1 : m.to_pool}}});
}

void post(std::vector<Posting>& out, Movement m, bool counts, const std::string& currency) {
  if (m.to_pool == 0) return;
  out.push_back(posting_of(m, currency));
  if (counts || buggify::bug(buggify::Bug::reversal_forgotten)) return;
  m.reference = m.kind + ":" + m.reference;
  m.kind = "reversal";
  m.memo = "another prediction or outcome counts in its place";
  m.to_pool = -m.to_pool;
  out.push_back(posting_of(m, currency));
}

std::string number_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

std::string short_id(const Hash& id) {
  return to_hex(id).substr(0, 24);
}

}  // namespace

std::string customer_account(std::string_view customer_id) {
  return "customer/" + (customer_id.empty() ? std::string("fleet") : account_name(customer_id));
}

const Prediction* counting_prediction(const Deal& deal) {
  const auto best = std::min_element(deal.predictions.begin(), deal.predictions.end(),
                                     [](const auto& a, const auto& b) { return counts_before(a, b); });
  return best == deal.predictions.end() ? nullptr : &*best;
}

const RealisedOutcome* counting_outcome(const Deal& deal) {
  const auto best = std::min_element(deal.outcomes.begin(), deal.outcomes.end(),
                                     [](const auto& a, const auto& b) { return counts_before(a, b); });
  return best == deal.outcomes.end() ? nullptr : &*best;
}

std::optional<Reconciliation> counting(const Deal& deal, double z) {
  const Prediction* p = counting_prediction(deal);
  const RealisedOutcome* o = counting_outcome(deal);
  if (p == nullptr || o == nullptr) return std::nullopt;
  auto r = reconcile(*p, *o, z);
  return r ? std::optional(std::move(*r)) : std::nullopt;
}

std::vector<Posting> postings_of(const Deal& deal, const std::string& currency) {
  std::vector<Posting> out;
  const Prediction* counts_p = counting_prediction(deal);
  const RealisedOutcome* counts_o = counting_outcome(deal);
  for (const Prediction& p : deal.predictions) {
    if (!p.terms) continue;
    const std::string id = short_id(prediction_id(p));
    const std::string pair = "dMPL " + number_text(p.delta_mpl.mean) + " expected of " + p.pack_id;
    post(out, {p.made_unix_ns, "quote", id, pair, p.customer_id, p.terms->quoted}, &p == counts_p, currency);
    for (const RealisedOutcome& o : deal.outcomes) {
      const auto r = reconcile(p, o, 1);
      if (!r) continue;
      const std::string memo = "dMPL " + number_text(r->realised_delta_mpl) + " realised, " +
                               number_text(r->predicted_delta_mpl) + " expected of " + p.pack_id;
      std::string reference = id + "/" + short_id(r->outcome);
      if (buggify::bug(buggify::Bug::outcome_posted_twice))
        reference.append("/").append(std::to_string(deal.outcomes.size()));
      post(out, {o.time_unix_ns, "true_up", reference, memo, p.customer_id, -r->true_up},
           &p == counts_p && &o == counts_o, currency);
    }
  }
  return out;
}

Posting split_posting(const SpreadSplit& split, std::string_view robot, std::string_view customer_id,
                      const std::string& reference, int64_t time_unix_ns, const std::string& currency) {
  return storage::normalised({time_unix_ns,
                              "spread",
                              reference,
                              "value of labour above the human wage",
                              {{"labour/" + account_name(robot), currency, -split.total},
                               {customer_account(customer_id), currency, split.rebate},
                               {"platform", currency, split.captured}}});
}

}  // namespace drover::econ
