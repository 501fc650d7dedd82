// The traffic of a whole company, for k6 (https://k6.io): many tenants of very different size, nine reads for a write.
//
//   k6 run -e URLS=http://127.0.0.1:7411,http://127.0.0.1:7412 -e TENANTS=tenants.json -e RATE=7500 -e SECONDS=300 bench/k6/company.js
//
// TENANTS is a JSON file: [{"slug": "acme", "token": "cnt_…"}, …], the busiest first; each tenant is of the template `workspace`. Every virtual
// user first creates what it reads. Thresholds are the goals of the company: p95 below 200 ms, nothing fails.
import http from 'k6/http';
import { check } from 'k6';
import { SharedArray } from 'k6/data';

const urls = (__ENV.URLS || 'http://127.0.0.1:7400').split(',');
const rate = Number(__ENV.RATE || 100);
const tenants = new SharedArray('tenants', () => JSON.parse(open(__ENV.TENANTS || './tenants.json')));

// The sum of 1/rank up to each tenant.
const shares = [];
for (let rank = 1, sum = 0; rank <= tenants.length; rank++) {
  sum += 1 / rank;
  shares.push(sum);
}

export const options = {
  scenarios: {
    company: {
      executor: 'constant-arrival-rate',
      rate,
      timeUnit: '1s',
      duration: `${__ENV.SECONDS || 60}s`,
      preAllocatedVUs: Math.max(10, Math.ceil(rate / 25)),
      maxVUs: Math.max(100, Math.ceil(rate / 5)),
    },
  },
  thresholds: {
    http_req_failed: ['rate==0'],
    http_req_duration: ['p(95)<200'],
  },
};

// Records that this virtual user has made, by tenant.
const made = {};

function draw() {
  const drawn = Math.random() * shares[shares.length - 1];
  return shares.findIndex((share) => drawn < share);
}

function create(base, tenant, params) {
  const fields = { title: `task ${__VU}-${__ITER}`, description: 'the quick brown fox jumps over the lazy dog '.repeat(4) };
  const reply = http.post(`${base}/records/tasks`, JSON.stringify({ fields }), params);
  if (check(reply, { created: (it) => it.status === 201 })) {
    (made[tenant.slug] = made[tenant.slug] || []).push(reply.json('id'));
  }
}

export default function company() {
  const tenant = tenants[draw()];
  const base = `${urls[__ITER % urls.length]}/v1/tenants/${tenant.slug}`;
  const params = {
    headers: { Authorization: `Bearer ${tenant.token}`, 'Content-Type': 'application/json' },
    tags: { name: 'company' },
  };
  const known = made[tenant.slug];
  if (!known || Math.random() < 0.1) {
    create(base, tenant, params);
    return;
  }
  const id = known[Math.floor(Math.random() * known.length)];
  const reply = http.get(`${base}/records/tasks/${id}`, params);
  check(reply, { found: (it) => it.status === 200 });
}
