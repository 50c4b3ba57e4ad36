-- A branch with 20,000 invoices.
create table sale (id bigint primary key, invoice_no text not null, customer text not null, place_of_supply text not null, invoice_date date not null,
  taxable_value numeric(14,2) not null, total numeric(14,2) not null);
insert into sale select i, 'PN/' || lpad(i::text, 6, '0'), 'Customer ' || i % 500, '27-Maharashtra', date '2026-04-01' + (i % 240)::int, (i % 90000 + 100)::numeric / 4,
  (i % 90000 + 100)::numeric / 4 * 1.18 from generate_series(1, 20000) as i;
