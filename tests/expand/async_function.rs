impl Account {
    #[memlock::lock("account/{self.id}", timeout = 30)]
    pub async fn deposit(&self, amount: u64) -> Result<(), memlock::Error> {
        self.store(self.load().await? + amount).await
    }
}

#[memlock::lock(name = "hidden")]
async fn hidden() -> impl Iterator<Item = u8> {
    find().await
}

#[memlock::lock(name = "leader", renew)]
async fn lead() -> ! {
    loop {
        work().await;
    }
}
