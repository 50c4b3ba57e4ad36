-- A branch with 20,000 invoices.
create table sale (id bigint primary key, invoice_no varchar(20) not null, customer varchar(60) not null, place_of_supply varchar(40) not null, invoice_date date not null,
  taxable_value decimal(14,2) not null, total decimal(14,2) not null);
insert into sale select seq, concat('SR/', lpad(seq, 6, '0')), concat('Customer ', seq % 500), '24-Gujarat', date '2026-04-01' + interval seq % 240 day, (seq % 90000 + 100) / 4,
  (seq % 90000 + 100) / 4 * 1.18 from seq_1_to_20000;
